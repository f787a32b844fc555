"""What `subscribe` and `route` ask for: checked at once, built when the router starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.ids import check_topic
from hotmesh.messages import RetryRule
from hotmesh.router import RouterSettings
from hotmesh.routing.consumer import Middleware, Plan
from hotmesh.routing.delivery import Delivery
from hotmesh.routing.keys import check_group, lane_of_stream, lane_of_topic
from hotmesh.routing.pace import interval_of
from hotmesh.routing.position import Position, check_position
from hotmesh.routing.signature import Signature, call_of, signature_of
from hotmesh.routing.source import Decode, Source, decode_field, decode_fields, decode_topic
from hotmesh.streams.keys import Space
from hotmesh.streams.record import Codec

CONCURRENCY_MAX = 10_000
LEASE_MS_MIN = 500
DELIVERIES_MAX = 10


def check_concurrency(value: object) -> None:
    """Raises SettingsInvalid for what no process should do at once."""
    if type(value) is not int or not 1 <= value <= CONCURRENCY_MAX:
        raise SettingsInvalid(f"concurrency lies between 1 and {CONCURRENCY_MAX:,}, not {value!r}")


class Where(Struct, frozen=True):
    """What is read.

    Attributes:
        topic: A topic, or "".
        stream: The key of a plain stream, or "".
        field: Of a plain stream: the field that holds the value as JSON; "" for all fields.
    """

    topic: str = ""
    stream: str = ""
    field: str = ""

    def __post_init__(self) -> None:
        if bool(self.topic) == bool(self.stream):
            raise SettingsInvalid(
                "name a topic, as in subscribe('orders'), or the key of a plain Redis stream, as "
                "in subscribe(stream='legacy:orders')"
            )
        if self.topic:
            check_topic(self.topic)
            if self.field:
                raise SettingsInvalid("field= belongs to a plain stream: stream=…, field=…")
        else:
            lane_of_stream("hm", self.stream, "g")

    @property
    def name(self) -> str:
        """The topic or the key."""
        return self.topic or self.stream

    def source(self, space: Space, group: str, partitions: int) -> Source:
        """Its streams."""
        if self.stream:
            return Source(self.stream, (lane_of_stream(space.namespace, self.stream, group),))
        lanes = [lane_of_topic(space.slot(p), self.topic, group) for p in range(partitions)]
        return Source(self.topic, tuple(lanes))

    def decode(self, wanted: Any) -> Decode:
        """How its entries become values of a type.

        Raises:
            SettingsInvalid: The type can't be read.
        """
        codec: Codec[Any] = Codec(wanted)
        if self.topic:
            return decode_topic(codec)
        return decode_field(codec, self.field) if self.field else decode_fields(codec)


class Options(Struct, frozen=True, kw_only=True):
    """How entries are handled; the arguments of `Router.subscribe`.

    Attributes:
        concurrency: Entries handled at once in this process.
        retry: None: a failure stands.
        dead_letter: False: what failed for good is logged and forgotten.
        timeout: Of one attempt.
        rate: At most so many attempts in so much time, in this process, such as `100/s`.
        start: Where a new group begins.
        lease: How long this process may be silent before others take its entries.
        grace: How long handlers may run on when the router stops.
        deliveries_max: Deliveries of an attempt (after crashes) before it goes to the dead letters.
    """

    concurrency: int = 100
    retry: tuple[RetryRule, ...] = ()
    dead_letter: bool = True
    timeout: Duration | None = None
    rate: str | None = None
    start: Position = "earliest"
    lease: Duration = "30s"
    grace: Duration = "30s"
    deliveries_max: int = DELIVERIES_MAX

    def __post_init__(self) -> None:
        check_concurrency(self.concurrency)
        if parse(self.lease) < LEASE_MS_MIN:
            raise SettingsInvalid(f"lease is at least {LEASE_MS_MIN}ms, not {self.lease!r}")
        if self.timeout is not None and parse(self.timeout) <= 0:
            raise SettingsInvalid("timeout is longer than nothing; None is for no limit")
        if not 1 <= self.deliveries_max <= 1_000:
            raise SettingsInvalid(
                f"deliveries_max lies between 1 and 1,000, not {self.deliveries_max!r}"
            )
        parse(self.grace)
        check_position(self.start)
        if self.rate is not None:
            interval_of(self.rate)

    def settings(self) -> RouterSettings:
        """For the loop."""
        return RouterSettings(
            capacity=self.concurrency,
            batch_max=max(self.concurrency, 1),
            lease_ms=parse(self.lease),
            deliveries_max=self.deliveries_max,
        )


class Subscription(Struct, frozen=True):
    """One handler of one source in one group.

    Attributes:
        call: Value and delivery in, what the handler gives out.
        workflows: The app whose workflows it needs, or "".
    """

    where: Where
    group: str
    name: str
    call: Callable[[Any, Delivery], Any]
    is_async: bool
    decode: Decode
    options: Options
    middleware: tuple[Middleware, ...] = ()

    def plan(self, start: str, middleware: tuple[Middleware, ...]) -> Plan:
        """For the consumer; `start` is where a new group begins, as the server reads it."""
        options = self.options
        return Plan(
            name=self.name,
            call=self.call,
            is_async=self.is_async,
            decode=self.decode,
            middleware=middleware + self.middleware,
            retry=options.retry,
            dead_letter=options.dead_letter,
            timeout_ms=parse(options.timeout) if options.timeout is not None else 0,
            rate=options.rate or "",
            grace_ms=parse(options.grace),
            start=start,
        )


def of_handler(
    where: Where,
    group: str,
    handler: Callable[..., Any],
    options: Options,
    middleware: tuple[Middleware, ...],
) -> Subscription:
    """A subscription that calls a user's function.

    Raises:
        SettingsInvalid: The function takes something else.
    """
    check_group(group)
    signature: Signature = signature_of(handler)
    return Subscription(
        where,
        group,
        signature.name,
        call_of(signature, handler),
        signature.is_async,
        where.decode(signature.wanted),
        options,
        middleware,
    )

"""The router: handlers and routes over topics and plain streams, inside any asyncio service.

It runs in the service's event loop, between the service's start and stop. It installs no signal
handlers, starts no loop and never touches a client that it was given; it may be started and stopped
as often as one likes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from hotmesh import connect
from hotmesh.connect import Connection
from hotmesh.durations import Duration
from hotmesh.errors import ServerUnavailable, SettingsInvalid
from hotmesh.ids import check_app_id, derive
from hotmesh.log import get_logger
from hotmesh.mesh import RetryPolicy
from hotmesh.routing.consumer import Consumer, Middleware, Watch
from hotmesh.routing.desk import Letter
from hotmesh.routing.emit import Emit
from hotmesh.routing.forward import Forward, routed
from hotmesh.routing.keys import GROUP_MAX, check_group
from hotmesh.routing.position import Position
from hotmesh.routing.route import Match, Rules, target_of
from hotmesh.routing.running import Running, Wiring
from hotmesh.routing.subscription import DELIVERIES_MAX, Options, Subscription, Where, of_handler
from hotmesh.routing.workflows import Workflows
from hotmesh.store import Store
from hotmesh.streams.keys import Space
from hotmesh.telemetry.metrics import instruments

log = get_logger("hotmesh.routing")

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Callable[..., Any])

RETRY = RetryPolicy()
"""Of handlers: five attempts within some twenty seconds."""

ROUTE_RETRY = RetryPolicy(maximum_attempts=12)
"""Of routes: about ten minutes, for an app that is not active yet or is overloaded."""


class Router:
    """Subscriptions and routes of one consumer group.

    Every entry is handled at least once, by one process of the group. The order of entries, also of
    those with one key, is not kept: entries are handled at the same time, and failed ones come
    again later. Where order matters use an agent of `hotmesh.App`.
    """

    def __init__(
        self,
        redis: connect.Source | Connection = None,
        group: str = "router",
        *,
        app: str | None = None,
        namespace: str = "hm",
        middleware: Sequence[Middleware] = (),
        lease: Duration = "30s",
        grace: Duration = "30s",
    ) -> None:
        """Nothing is connected before `start`.

        Args:
            redis: A URL, a `redis.asyncio` client or pool, or None for `HOTMESH_REDIS_URL` or the
                embedded server.
            group: The consumer group: processes that name the same one share the entries, others
                get all of them.
            app: The app whose workflows routes start and signal.
            namespace: Prefix of all keys.
            middleware: Called around every handler, the first one outermost; see `middleware`.
            lease: How long this process may be silent before its entries go to another.
            grace: How long handlers may run on when the router stops; then they are cancelled, and
                their entries go to another process.

        Raises:
            NameInvalid: The group, app or namespace can't stand in keys.
        """
        self.group = check_group(group)
        self._redis, self._app = redis, check_app_id(app) if app is not None else None
        self._space = Space(namespace)
        self._lease, self._grace = lease, grace
        self._middleware = list(middleware)
        self._subscriptions: list[Subscription] = []
        self._emits: list[Emit] = []
        self._metrics = instruments()
        self._watch: Watch | None = None
        self._running: Running | None = None
        self._stopping = asyncio.Event()

    # -- what to handle

    def subscribe(
        self,
        topic: str = "",
        *,
        stream: str = "",
        field: str = "",
        group: str | None = None,
        concurrency: int = 100,
        retry: RetryPolicy | None = RETRY,
        dead_letter: bool = True,
        timeout: Duration | None = None,
        rate: str | None = None,
        start: Position = "earliest",
        lease: Duration | None = None,
        deliveries_max: int = DELIVERIES_MAX,
        middleware: Sequence[Middleware] = (),
    ) -> Callable[[F], F]:
        """Decorates a handler of a topic, or of a plain Redis stream.

        The handler takes the value, a `hotmesh.Delivery`, or both. The value is converted to the
        type that it asks for (a `Record` or another msgspec Struct, a dataclass, a TypedDict, a
        pydantic model); what does not fit goes to the dead letters. A plain function runs in a
        thread. When the handler returns the entry is acknowledged, when it raises the entry is
        tried again, and after the last attempt it goes to the dead letters.

        Args:
            topic: A topic of this namespace.
            stream: Instead: the key of a stream that others write. Its fields are the value.
            field: Of such a stream: the field that holds the value as JSON.
            group: Instead of the router's.
            concurrency: Entries handled at once in this process.
            retry: What is tried again, and when. Nobody holds the entry in between. None: nothing.
            dead_letter: False: what failed for good is logged and forgotten.
            timeout: Of one attempt; it fails with code 504.
            rate: At most so many attempts in so much time, in this process, such as `100/s`.
            start: Where the group begins when it is new: `earliest`, `latest`, an entry's id, a
                time, or how long ago.
            lease: Instead of the router's.
            deliveries_max: After so many deliveries without an end (its process dies on it) an
                entry goes to the dead letters.
            middleware: Around this handler, inside the router's own.

        Raises:
            SettingsInvalid, NameInvalid: An argument or the handler can't be used.
        """
        where = Where(topic, stream, field)
        options = Options(
            concurrency=concurrency,
            retry=(retry.rule(),) if retry is not None else (),
            dead_letter=dead_letter,
            timeout=timeout,
            rate=rate,
            start=start,
            lease=self._lease if lease is None else lease,
            grace=self._grace,
            deliveries_max=deliveries_max,
        )

        def decorate(handler: F) -> F:
            self._add(of_handler(where, group or self.group, handler, options, tuple(middleware)))
            return handler

        return decorate

    def route(
        self,
        source: str = "",
        *,
        stream: str = "",
        field: str = "",
        to: str | None = None,
        signal: str | None = None,
        topic: str | None = None,
        map: Any = None,
        match: Match | Mapping[str, Any] | None = None,
        name: str | None = None,
        duplicates: Literal["dead_letter", "drop"] = "dead_letter",
        concurrency: int = 100,
        retry: RetryPolicy | None = ROUTE_RETRY,
        dead_letter: bool = True,
        rate: str | None = None,
        start: Position = "earliest",
        path: str = "",
    ) -> None:
        """Send entries on: start a workflow, wake one, or append to another topic.

        A route has a group of its own, `<group>.<name>`, so routes of one source do not wait for
        each other.

        Args:
            source, stream, field, concurrency, retry, dead_letter, rate, start: As of `subscribe`.
            to: The topic of a graph: a workflow is started per entry, once however often the entry
                is delivered. The job's id follows from the entry, unless the model derives one.
            signal: The topic of a hook: one waiting activity is woken.
            topic: Another topic, at least once, with the same key and headers.
            map: What the target gets, in the mapping language; the value itself when None. Its
                references begin with `value`, `key`, `headers`, `type`, `topic` or `id`.
            match: Which entries are meant: `type`, `key` (patterns) and `when` (a rule). Others are
                acknowledged and go nowhere.
            name: Tells the route from others; the target's topic when None.
            duplicates: What becomes of an entry whose job's id, derived by the model, is taken.
            path: Where the route stands in a file, for messages.

        Raises:
            SettingsInvalid, NameInvalid, MappingError: An argument can't be used.
        """
        where, target = Where(source, stream, field), target_of(to, signal, topic)
        if target.kind != "topic" and self._app is None:
            raise SettingsInvalid(
                "a route to a workflow needs its app: hotmesh.Router(…, app='shop')"
            )
        if duplicates not in ("dead_letter", "drop"):
            raise SettingsInvalid(f"duplicates is 'dead_letter' or 'drop', not {duplicates!r}")
        rules = Rules(_match_of(match), map, path=path)
        label = check_group(name or target.topic)
        group = f"{self.group}.{label}"
        if len(group) > GROUP_MAX:
            group = f"{self.group[:30]}.{derive(group)}"
        options = Options(
            concurrency=concurrency,
            retry=(retry.rule(),) if retry is not None else (),
            dead_letter=dead_letter,
            rate=rate,
            start=start,
            lease=self._lease,
            grace=self._grace,
        )
        forward = Forward(self, target, rules, group, drop_duplicates=duplicates == "drop")
        decode = routed(where.decode(Any))
        self._add(Subscription(where, group, label, forward, True, decode, options))

    def emit(self, activity: str, *, topic: str, concurrency: int = 100) -> None:
        """Let activities of workflows append to a topic: this process is their worker.

        The input of the activity says what is sent, by `value`, and `key` and `headers` as the case
        may be; an input without `value` is the value itself. Each call is appended at least once;
        the header `message-id` tells a repeated one.

        Args:
            activity: The `topic` of worker activities in the model of `app`.
            topic: Where their entries go.
            concurrency: Calls at once in this process.

        Raises:
            SettingsInvalid, NameInvalid: An argument can't be used, or the router has no app.
        """
        if self._app is None:
            raise SettingsInvalid("activities belong to an app: hotmesh.Router(…, app='shop')")
        if self._running is not None:
            raise SettingsInvalid("the router runs already; let it emit before it starts")
        if any(e.activity == activity for e in self._emits):
            raise SettingsInvalid(f"activities of {activity!r} append to a topic already")
        self._emits.append(Emit(activity, topic, concurrency))

    def middleware(self, function: M) -> M:
        """Decorates a function that is called around every handler, inside those before it.

        It takes the delivery and the rest of the call: `async def timed(ctx, call_next): return
        await call_next()`. Raising is failing.
        """
        if not asyncio.iscoroutinefunction(function):
            raise SettingsInvalid("a middleware is an async function of a delivery and call_next")
        self._middleware.append(function)
        return function

    def observe(self, watch: Watch | None) -> None:
        """For tests: be told of the end of each attempt, from the next start on; None ends it."""
        self._watch = watch

    def _add(self, subscription: Subscription) -> None:
        if self._running is not None:
            raise SettingsInvalid("the router runs already; subscribe before it starts")
        for other in self._subscriptions:
            if (other.where.name, other.group) == (subscription.where.name, subscription.group):
                raise SettingsInvalid(
                    f"{subscription.name} and {other.name} would share the entries of "
                    f"{subscription.where.name!r} in group {subscription.group!r}, each getting "
                    "some of them; give one of them another group= (a route: another name=)"
                )
        self._subscriptions.append(subscription)

    # -- start and stop

    async def start(
        self,
        redis: connect.Source | Connection = None,
        *,
        seek: Mapping[str, Position] | None = None,
    ) -> None:
        """Connect and start to read; returns when every subscription reads.

        Args:
            redis: For a router that was made without one.
            seek: Sources whose groups are moved before anything is read; see `seek`.

        Raises:
            ServerUnavailable, ServerUnsuitable, ConnectionInvalid: There is no server to work on.
            SettingsInvalid: It runs already.
        """
        if self._running is not None:
            raise SettingsInvalid("the router runs already; stop it before it is started again")
        self._stopping = asyncio.Event()
        wiring = Wiring(
            self.group,
            self.namespace,
            self._app,
            tuple(self._subscriptions),
            tuple(self._middleware),
            self._metrics,
            self._watch,
            tuple(self._emits),
            self._lease,
            self._grace,
        )
        source = redis if self._redis is None else self._redis
        self._running = await Running.open(source, wiring, seek or {})
        log.info("router.started", group=self.group, sources=self.sources)

    async def stop(self) -> None:
        """Stop reading, let handlers end within the grace, hand back what they did not finish, and
        close. May be called twice, and before `start`.
        """
        self._stopping.set()
        running = self._running
        if running is None or running.stopping:
            return
        try:
            await running.stop()
        finally:
            self._running = None
        log.info("router.stopped", group=self.group)

    async def run(self, started: asyncio.Event | None = None) -> None:
        """Start, and serve until cancelled or told to `stop`; then stop cleanly.

        Args:
            started: Set once every subscription reads.

        Raises:
            BaseException: What a subscription crashed with: a fault of ours, or no server any more.
        """
        async with self:
            if started is not None:
                started.set()
            await self._until_stopped()

    async def crashed(self) -> BaseException:
        """Wait until a subscription of the running router crashes; what it crashed with.

        Raises:
            ServerUnavailable: It does not run.
        """
        failed = self._open.host.failed
        assert failed is not None, "a host that runs"
        failure: BaseException = await asyncio.shield(failed)
        return failure

    async def _until_stopped(self) -> None:
        waiting = asyncio.create_task(self._stopping.wait())
        crashed = asyncio.create_task(self.crashed())
        try:
            await asyncio.wait([waiting, crashed], return_when=asyncio.FIRST_COMPLETED)
            if crashed.done():
                raise crashed.result()
        finally:
            waiting.cancel()
            crashed.cancel()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[dict[str, Any]]:
        """For FastAPI, Starlette and Litestar: `FastAPI(lifespan=router.lifespan)`.

        Requests find the router as `request.state.router`.
        """
        async with self:
            yield {"router": self}

    async def cleanup_ctx(self, app: object = None) -> AsyncIterator[None]:
        """For aiohttp: `app.cleanup_ctx.append(router.cleanup_ctx)`."""
        async with self:
            yield

    @property
    def is_healthy(self) -> bool:
        """Whether it runs and no subscription has crashed: for a readiness probe."""
        running = self._running
        if running is None or running.stopping or running.host.failed is None:
            return False
        return not running.host.failed.done()

    @property
    def consumers(self) -> list[Consumer]:
        """What reads at present; nothing of topics that nobody has declared."""
        return self._running.consumers if self._running is not None else []

    @property
    def sources(self) -> list[str]:
        """The topics and plain streams that it reads."""
        return sorted({s.where.name for s in self._subscriptions})

    # -- in use

    async def publish(
        self,
        topic: str,
        value: Any,
        *,
        key: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Append a value to a topic; the id of the entry, once the server has it.

        Args:
            value: A `Record` or another msgspec Struct, a dataclass, a pydantic model, or plain
                data.
            key: Decides the partition; text, bytes, or anything with a JSON form.
            headers: Text to text. A trace that is open here goes with them.

        Raises:
            PayloadInvalid, PayloadTooLarge, NameInvalid: It can't be sent.
            Overloaded: The topic is full; `retry_after_ms` is a hint.
            ServerUnavailable: The server can't be reached, or the router does not run.
        """
        return await self._open.topics.send(topic, value, key=key, headers=headers)

    async def append(self, stream: str, fields: Mapping[str, Any]) -> str:
        """Append an entry to a plain stream, as another service would; the id of the entry.

        Args:
            fields: Text, bytes or numbers by name; at least one.

        Raises:
            SettingsInvalid: There are no fields, or the stream has no key.
            ServerUnavailable: The server can't be reached, or the router does not run.
        """
        return await self._open.append(stream, fields)

    async def seek(self, source: str, to: Position, *, group: str | None = None) -> None:
        """Have a group read a source from another place on: replay what it has handled, or skip
        what it has not. Entries in hand, and those that wait for another attempt, stay.

        Args:
            source: A topic or the key of a plain stream that this router subscribes to.
            to: As `start` of `subscribe`.
            group: Which one, where the router subscribes in several.

        Raises:
            SettingsInvalid: The router does not subscribe to it, or `to` is no position.
        """
        await self._open.seek(source, to, group)

    async def dead_letters(
        self, source: str | None = None, *, group: str | None = None, limit: int = 100
    ) -> list[Letter]:
        """Entries that nobody could handle, the newest first.

        Args:
            source: Only of this topic or plain stream.
        """
        return await (await self._open.desk(source, group)).letters(limit)

    async def retry(self, letter: str) -> bool:
        """Give a dead letter another life; False when there is none of that id."""
        return await (await self._open.desk(None, None)).redrive(letter, again=True)

    async def drop(self, letter: str) -> bool:
        """Forget a dead letter; False when there is none of that id."""
        return await (await self._open.desk(None, None)).redrive(letter, again=False)

    # -- what is open

    @property
    def _open(self) -> Running:
        if self._running is None:
            raise ServerUnavailable("the router does not run; use it inside 'async with router:'")
        return self._running

    @property
    def store(self) -> Store:
        """Scripts over the router's connection.

        Raises:
            ServerUnavailable: The router does not run.
        """
        return self._open.client.store

    @property
    def namespace(self) -> str:
        """Prefix of all keys."""
        return self._space.namespace

    async def workflows(self) -> Workflows:
        """A client of the workflows of `app`.

        Raises:
            AppNotFound: Nothing of the app is active yet.
        """
        return await self._open.workflows()

    def now_ms(self) -> int:
        """The server's clock."""
        return self._open.now_ms()


def _match_of(match: Match | Mapping[str, Any] | None) -> Match:
    if match is None:
        return Match()
    if isinstance(match, Match):
        return match
    try:
        return msgspec.convert(dict(match), Match)
    except msgspec.ValidationError as exc:
        raise SettingsInvalid(f"match has type, key and when: {exc}") from exc

"""A route as a handler: match, map, and on to a workflow, a hook or a topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from hotmesh.errors import DuplicateJob, MappingError, Reject
from hotmesh.ids import derive
from hotmesh.log import get_logger
from hotmesh.routing.delivery import Delivery
from hotmesh.routing.route import Rules, Target
from hotmesh.routing.settle import Receipt
from hotmesh.routing.source import Decode
from hotmesh.routing.workflows import Workflows
from hotmesh.streams.wire import Entry

log = get_logger("hotmesh.routing")


class Surroundings(Protocol):
    """What a route needs of its router."""

    def now_ms(self) -> int:
        """The server's clock."""

    async def workflows(self) -> Workflows:
        """A client of the app's workflows."""

    async def publish(
        self, topic: str, value: Any, *, key: Any, headers: Mapping[str, str] | None
    ) -> str:
        """Append to a topic."""


class Routed(Struct, frozen=True):
    """An entry as a route sees it: plain data, and the name of its type."""

    value: Any
    type: str | None


class Forward:
    """Sends entries to one target."""

    def __init__(
        self,
        router: Surroundings,
        target: Target,
        rules: Rules,
        group: str,
        *,
        drop_duplicates: bool,
    ) -> None:
        self._router, self._target, self._rules = router, target, rules
        self._group, self._drop_duplicates = group, drop_duplicates

    async def __call__(self, routed: Routed, delivery: Delivery) -> Receipt | None:
        """Handle one entry. Called again it does nothing more to workflows and hooks.

        Raises:
            Reject: Its data do not fit the route, or its job's id is taken.
            HotMeshError: It can't be sent on now.
        """
        context = {
            "value": routed.value,
            "type": routed.type or delivery.headers.get("type"),
            "key": delivery.key,
            "headers": dict(delivery.headers),
            "topic": delivery.topic,
            "id": delivery.id,
        }
        try:
            now_ms = self._router.now_ms()
            if not self._rules.takes(context, now_ms):
                return None
            data = self._rules.mapped(context, now_ms)
        except MappingError as exc:
            raise Reject(str(exc)) from exc
        return await self._send(data, delivery)

    async def _send(self, data: Any, delivery: Delivery) -> Receipt | None:
        topic = self._target.topic
        if self._target.kind == "topic":
            headers = {k: v for k, v in delivery.headers.items() if k != "traceparent"}
            await self._router.publish(topic, data, key=delivery.key, headers=headers)
            return None
        workflows = await self._router.workflows()
        once = once_of(self._group, delivery)
        try:
            if self._target.kind == "signal":
                await workflows.signal(topic, data, once)
                return None
            job_id = await workflows.start(topic, data, once)
        except MappingError as exc:
            raise Reject(str(exc)) from exc
        except DuplicateJob as exc:
            if not self._drop_duplicates:
                raise Reject(str(exc)) from exc
            log.info("entry.duplicate", topic=delivery.topic, entry=delivery.id, job=exc.job_id)
            return None
        return Receipt(workflows.receipt(once, job_id))


def routed(decode: Decode) -> Callable[[Entry, Sequence[bytes]], Routed]:
    """Decode to plain data, and keep the name of the type."""

    def decoded(entry: Entry, fields: Sequence[bytes]) -> Routed:
        name = entry.tag[2:].decode(errors="replace") if entry.tag else ""
        return Routed(decode(entry, fields), name or None)

    return decoded


def once_of(group: str, delivery: Delivery) -> str:
    """The name under which an entry starts or signals: the same over all its deliveries."""
    return derive("route", group, delivery.topic, str(delivery.partition), delivery.id)

"""Workflows → topics: an activity whose work is to append an entry.

    router.emit("emit.shipped", topic="orders.shipped")

    shipped:
      type: worker
      topic: emit.shipped
      input: {maps: {key: '{order.output.data.id}', value: {id: '{order.output.data.id}'}}}

The call is an entry of the worker's stream, so it survives what a run survives; when its process
dies between the append and the answer, the entry is there twice, with one `message-id`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from hotmesh.errors import PayloadInvalid
from hotmesh.ids import check_topic
from hotmesh.messages import StreamData
from hotmesh.routing.subscription import check_concurrency


class Emit(Struct, frozen=True):
    """What activities of one worker topic append to.

    Attributes:
        activity: The `topic` of worker activities in the model.
        topic: Where their entries go.
        concurrency: Calls at once in this process.
    """

    activity: str
    topic: str
    concurrency: int = 100

    def __post_init__(self) -> None:
        check_topic(self.activity)
        check_topic(self.topic)
        check_concurrency(self.concurrency)


MESSAGE_ID = "message-id"
"""Header that tells one call of an activity from another: the same when the call is repeated."""


class Sender(Protocol):
    """What appends."""

    async def send(
        self, topic: str, value: Any, *, key: Any, headers: Mapping[str, str] | None
    ) -> str:
        """The id of the entry."""


def emitter(sender: Sender, topic: str) -> Callable[[StreamData], Awaitable[dict[str, str]]]:
    """A handler for `hotmesh.Worker` that appends what its activity maps.

    The input has `value`, and `key` and `headers` as the case may be. An input without `value` is
    the value itself.
    """

    async def emit(msg: StreamData) -> dict[str, str]:
        value, key, headers = _parts(msg.data)
        carried = {**headers, MESSAGE_ID: msg.metadata.guid}
        return {"entry": await sender.send(topic, value, key=key, headers=carried)}

    return emit


def _parts(data: Any) -> tuple[Any, Any, dict[str, str]]:
    if not isinstance(data, dict) or "value" not in data:
        return data, None, {}
    headers = data.get("headers") or {}
    if not isinstance(headers, dict):
        raise PayloadInvalid("headers are an object of texts", field="$.headers")
    return data["value"], data.get("key"), headers

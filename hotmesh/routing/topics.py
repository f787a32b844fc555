"""Topics as the router sees them: how many partitions one has, and sending to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotmesh.ids import check_topic
from hotmesh.store import Store
from hotmesh.streams.keys import Space, partition_of
from hotmesh.streams.record import Codec, encode_key
from hotmesh.streams.wire import encode_headers, fields_of
from hotmesh.telemetry.topics import sending


class Topics:
    """Sends values to topics."""

    def __init__(self, store: Store, space: Space) -> None:
        self._store, self._space = store, space
        self._codec: Codec[Any] = Codec(Any)
        self._codecs: dict[type, Codec[Any]] = {}

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return 1

    async def send(
        self, topic: str, value: Any, *, key: Any, headers: Mapping[str, str] | None
    ) -> str:
        """Append one value; the id of the entry."""
        check_topic(topic)
        payload, tag = self._codec_of(value).encode(value, what=f"a value of topic {topic!r}")
        raw_key = encode_key(key)
        partition = partition_of(raw_key or b"", await self.partitions(topic))
        with sending(topic, headers) as carried:
            fields = fields_of(payload, tag, raw_key, None, encode_headers(carried))
            stream = self._space.slot(partition).entries(topic)
            id: bytes = await self._store.transport.execute("XADD", stream, "*", *fields)
            return id.decode()

    def _codec_of(self, value: Any) -> Codec[Any]:
        kind = type(value)
        codec = self._codecs.get(kind)
        if codec is None:
            is_plain = kind in (dict, list, tuple, int, float, bool, type(None))
            codec = self._codecs[kind] = self._codec if is_plain else Codec(kind)
        return codec

    async def close(self) -> None:
        """Nothing is left to send: a call returns when the server has its entry."""

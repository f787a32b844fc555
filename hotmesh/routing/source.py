"""Where a subscription reads, and how an entry becomes a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from hotmesh.routing.keys import Lane
from hotmesh.streams.record import Codec, Undecodable
from hotmesh.streams.shape import BYTES, TEXT
from hotmesh.streams.wire import Entry

Decode = Callable[[Entry, Sequence[bytes]], Any]
"""An entry and its raw fields → the value; raises Undecodable when it is of another type."""


class Source(Struct, frozen=True):
    """What a subscription reads.

    Attributes:
        name: The topic, or the key of a plain stream.
        lanes: One per stream.
    """

    name: str
    lanes: tuple[Lane, ...]


def decode_topic(codec: Codec[Any]) -> Decode:
    """Entries of topics. One without a payload is of somebody who knows nothing of topics: its
    fields are the value.
    """

    takes_all = codec.value_type is Any

    def decode(entry: Entry, fields: Sequence[bytes]) -> Any:
        if entry.payload is None:
            return codec.convert(entry.foreign or {}, what="the entry")
        if takes_all and entry.tag in (TEXT, BYTES):  # which are no JSON
            return entry.payload if entry.tag == BYTES else entry.payload.decode(errors="replace")
        return codec.decode(entry.payload, entry.tag)

    return decode


def decode_fields(codec: Codec[Any]) -> Decode:
    """Entries of a plain stream: all fields, as a dict of texts, are the value."""

    def decode(entry: Entry, fields: Sequence[bytes]) -> Any:
        texts = [field.decode(errors="replace") for field in fields]
        return codec.convert(dict(zip(texts[::2], texts[1::2], strict=True)), what="the entry")

    return decode


def decode_field(codec: Codec[Any], name: str) -> Decode:
    """Entries of a plain stream whose value is the JSON in one field."""
    wanted = name.encode()

    def decode(entry: Entry, fields: Sequence[bytes]) -> Any:
        for i in range(0, len(fields), 2):
            if fields[i] == wanted:
                return codec.decode(fields[i + 1], None)
        raise Undecodable(f"the entry has no field {name!r}", field=name)

    return decode

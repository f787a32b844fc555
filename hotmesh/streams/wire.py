"""The entry of a topic: the fields that lie in a stream, and what a reader makes of them.

    p   the value's payload; the only field that must be there
    t   its tag (see `record`): `j:Order`, `m:Order`, `s:` text, `b:` bytes; absent: JSON
    k   the key
    e   event time in milliseconds since 1970, when it is not the time of arrival
    h   headers, a MessagePack map of text to text
    r   where an answer is wanted: `<client>/<request>`
    i   of an entry that was moved here: `<topic>/<partition>/<id>` where it lay first

Fields of other names are ignored. An entry without `p` is one of somebody who knows nothing of
this: its fields are the value (`foreign`). Everything is written in this order, because a stream
stores equal names of neighbours once.

Who brings an entry is not in it: a producer is known by an id and numbers what it sends to each
partition; the script that appends compares the number (`lua/produce.lua`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hotmesh.connect import Arg
from hotmesh.errors import PayloadInvalid, PayloadTooLarge

HEADERS_BYTES_MAX = 16_384
Headers = dict[str, str]

_encode = msgspec.msgpack.Encoder().encode
_decode_headers = msgspec.msgpack.Decoder(Headers).decode
NO_HEADERS: Mapping[str, str] = {}


class Entry:
    """One entry as it lies in a stream.

    Attributes:
        id: Its id, such as `b"1700000000000-0"`.
        payload: None when the entry has no `p`.
        key, tag, reply, origin: As bytes, None when absent.
        foreign: All fields of an entry without `p`, otherwise None.
    """

    __slots__ = (
        "_event_ms",
        "_headers",
        "foreign",
        "id",
        "key",
        "origin",
        "payload",
        "reply",
        "tag",
    )

    def __init__(self, id: bytes, fields: Sequence[bytes] | None) -> None:
        """From the raw reply of the server; `fields` is None for an entry that was deleted."""
        self.id = id
        self.payload = self.tag = self.key = self.reply = self.origin = None
        self._event_ms: bytes | None = None
        self._headers: bytes | None = None
        self.foreign: dict[str, str] | None = None
        it = iter(fields or ())
        for name in it:
            value = next(it)
            if name == b"p":
                self.payload = value
            elif name == b"t":
                self.tag = value
            elif name == b"k":
                self.key = value
            elif name == b"e":
                self._event_ms = value
            elif name == b"h":
                self._headers = value
            elif name == b"r":
                self.reply = value
            elif name == b"i":
                self.origin = value
        if self.payload is None and fields:
            self.foreign = _texts(fields)

    payload: bytes | None
    tag: bytes | None
    key: bytes | None
    reply: bytes | None
    origin: bytes | None

    @property
    def is_plain(self) -> bool:
        """Whether it has no headers."""
        return self._headers is None

    @property
    def arrived_ms(self) -> int:
        """When the server took it, in milliseconds since 1970."""
        return int(self.id[: self.id.index(b"-")])

    @property
    def event_ms(self) -> int:
        """When it happened: what its producer said, else when it arrived."""
        given = self._event_ms
        return int(given) if given is not None and given.isdigit() else self.arrived_ms

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers; none when they can't be read."""
        if self._headers is None:
            return NO_HEADERS
        try:
            return _decode_headers(self._headers)
        except (msgspec.MsgspecError, ValueError):
            return NO_HEADERS

    def fields(self) -> list[Arg]:
        """The same fields again, for a copy in another stream."""
        if self.foreign is not None:
            return [text for pair in self.foreign.items() for text in pair]
        fields = fields_of(
            self.payload or b"", self.tag, self.key, self._event_ms, self._headers, self.reply
        )
        return fields if self.origin is None else [*fields, "i", self.origin]


def fields_of(
    payload: bytes,
    tag: bytes | None = None,
    key: bytes | None = None,
    event_ms: int | bytes | None = None,
    headers: bytes | None = None,
    reply: bytes | None = None,
) -> list[Arg]:
    """The fields of an entry, names and values in turn."""
    fields: list[Arg] = ["p", payload]
    if tag:
        fields += ("t", tag)
    if key is not None:
        fields += ("k", key)
    if event_ms is not None:
        fields += ("e", event_ms)
    if headers:
        fields += ("h", headers)
    if reply:
        fields += ("r", reply)
    return fields


def encode_headers(headers: Mapping[str, Any] | None) -> bytes | None:
    """Headers as they travel.

    Raises:
        PayloadInvalid: A name or a value is not text.
        PayloadTooLarge: They are over 16 KiB.
    """
    if not headers:
        return None
    for name, value in headers.items():
        if type(name) is not str or type(value) is not str:
            raise PayloadInvalid(
                f"header {name!r:.80} is {type(value).__name__}; headers are text", field="headers"
            )
    data = _encode(dict(headers))
    if len(data) > HEADERS_BYTES_MAX:
        raise PayloadTooLarge(
            what="the headers of an entry", size_bytes=len(data), limit_bytes=HEADERS_BYTES_MAX
        )
    return data


def read_stream(reply: Any) -> list[tuple[str, list[Any]]]:
    """Streams and raw entries of an XREAD or XREADGROUP reply."""
    return [(name.decode(), entries) for name, entries in reply or ()]


def _texts(fields: Sequence[bytes]) -> dict[str, str]:
    texts = [f.decode(errors="replace") for f in fields]
    return dict(zip(texts[::2], texts[1::2], strict=True))

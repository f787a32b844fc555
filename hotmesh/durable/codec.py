"""Payloads that the server can't read: encryption, compression, or both.

A codec sees payloads as bytes and gives bytes. It is applied where payloads leave or enter a
process: arguments, results, signals, updates, queries, memos, heartbeats, and the text of failures.
Ids, names, search attributes and fields stay as they are, because the server and other people look
things up by them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from hotmesh.core.durable import records as r
from hotmesh.durable.errors import CodecError
from hotmesh.run_messages import NIL

SEALED = 72
"""MessagePack extension type of a payload that a codec has encoded."""

HIDDEN = "(encoded)"

T = TypeVar("T")
Take = Callable[[Raw], Raw]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_FIXED = {0xD4: 1, 0xD5: 1, 0xD6: 1, 0xD7: 1, 0xD8: 1, 0xC7: 2, 0xC8: 3, 0xC9: 5}
_PLAIN = frozenset({bytes(NIL), bytes(r.EMPTY_LIST), b"\x80"})
_PAYLOADS = ("args", "data", "details", "memo", "last_result", "values")
_ITEMS = ("begin",)


class PayloadCodec(Protocol):
    """Encodes and decodes payloads. Both may wait (for a key service, say)."""

    async def encode(self, payloads: list[bytes]) -> list[bytes]:
        """As the server is to hold them, one for one."""

    async def decode(self, payloads: list[bytes]) -> list[bytes]:
        """As they were before `encode`, one for one."""


def is_sealed(data: bytes | Raw) -> bool:
    """Whether a codec has encoded a payload."""
    raw = bytes(data[:6]) if isinstance(data, bytes) else bytes(data)[:6]
    at = _FIXED.get(raw[0]) if raw else None
    return at is not None and len(raw) > at and raw[at] == SEALED


class Coder:
    """Codecs in a row: the first one is applied first, and undone last."""

    def __init__(self, codecs: Sequence[PayloadCodec]) -> None:
        self._codecs = list(codecs)

    async def seal(self, values: list[T]) -> list[T]:
        """Records, commands, failures or payloads as they leave the process.

        Raises:
            CodecError: A codec failed.
        """
        found: list[Raw] = []
        for value in values:
            rebuild(value, _collect(found), seals=True)
        data = [bytes(raw) for raw in found]
        for codec in self._codecs:
            data = await self._apply(codec, "encode", data)
        sealed = iter([Raw(_encode(msgspec.msgpack.Ext(SEALED, one))) for one in data])
        return [rebuild(value, lambda _: next(sealed), seals=True) for value in values]

    async def open(self, values: list[T]) -> list[T]:
        """The same as they were.

        Raises:
            CodecError: A codec failed.
        """
        found: list[Raw] = []
        for value in values:
            rebuild(value, _collect(found), seals=False)
        if not found:
            return values
        data = [_decode(raw).data for raw in found]
        for codec in reversed(self._codecs):
            data = await self._apply(codec, "decode", data)
        opened = iter([Raw(one) for one in data])
        return [rebuild(value, lambda _: next(opened), seals=False) for value in values]

    async def _apply(self, codec: PayloadCodec, what: str, data: list[bytes]) -> list[bytes]:
        name = type(codec).__name__
        try:
            given = list(await getattr(codec, what)(data))
        except Exception as exc:
            raise CodecError(f"codec {name} could not {what} a payload: {exc!r}") from exc
        if len(given) != len(data):
            raise CodecError(f"codec {name} gave {len(given)} payloads for {len(data)}")
        return given


def _collect(found: list[Raw]) -> Take:
    def take(raw: Raw) -> Raw:
        found.append(raw)
        return raw

    return take


def rebuild(value: T, take: Take, *, seals: bool) -> T:
    """A value with each of its payloads put through `take`, in a fixed order."""
    return _rebuild(value, take, seals)  # type: ignore[no-any-return]


def _rebuild(value: Any, take: Take, seals: bool) -> Any:
    kind = type(value)
    if kind is Raw:
        return _payload(value, take, seals)
    if kind is tuple or kind is list:
        return kind(_rebuild(one, take, seals) for one in value)
    if kind is r.Failure:
        return _failure(value, take, seals)
    if isinstance(value, Struct):
        return _struct(value, take, seals)
    return value


def _struct(value: Any, take: Take, seals: bool) -> Any:
    changed: dict[str, Any] = {}
    for name in value.__struct_fields__:
        inner = getattr(value, name)
        kind = type(inner)
        if name in _PAYLOADS and kind is Raw and not isinstance(value, r.Attributes):
            changed[name] = _payload(inner, take, seals)
        elif name in _ITEMS and kind is bytes:
            item = _rebuild(r.decode_item(inner), take, seals)
            changed[name] = r.encode_input(item)
        elif name == "carried":
            changed[name] = tuple(
                r.encode_input(_rebuild(r.decode_item(one), take, seals)) for one in inner
            )
        elif name == "headers":
            changed[name] = {k: _payload(v, take, seals) for k, v in inner.items()}
        elif kind is r.Failure or (kind is tuple and inner and isinstance(inner[0], Struct)):
            changed[name] = _rebuild(inner, take, seals)
        elif kind is tuple and name == "ins":
            changed[name] = tuple(_rebuild(one, take, seals) for one in inner)
    return replace(value, **changed) if changed else value


def _payload(raw: Raw, take: Take, seals: bool) -> Raw:
    if seals:
        return raw if bytes(raw) in _PLAIN or is_sealed(raw) else take(raw)
    return take(raw) if is_sealed(raw) else raw


def _failure(failure: r.Failure, take: Take, seals: bool) -> r.Failure:
    """A failure's text and details are one payload."""
    cause = _rebuild(failure.cause, take, seals) if failure.cause is not None else None
    if seals:
        if is_sealed(failure.details):
            return replace(failure, cause=cause)
        told = Raw(_encode([failure.message, failure.stack, failure.details]))
        return replace(failure, message=HIDDEN, stack="", details=take(told), cause=cause)
    if not is_sealed(failure.details):
        return replace(failure, cause=cause)
    opened = take(failure.details)
    if is_sealed(opened):  # only looked at, so far
        return failure
    message, stack, details = msgspec.msgpack.decode(opened, type=tuple[str, str, Raw])
    return replace(failure, message=message, stack=stack, details=details, cause=cause)


def needs_codec(value: Any) -> bool:
    """Whether anything in a value was sealed."""
    found: list[Raw] = []
    rebuild(value, _collect(found), seals=False)
    return bool(found)

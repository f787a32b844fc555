"""User data at the entrance: checked once, encoded once, and from there on opaque MessagePack.

What goes in comes out as plain data: objects with text keys, lists, text, numbers, booleans, null,
bytes and aware datetimes. Structs, dataclasses, enums, UUIDs, decimals and pydantic models are
taken and come out as those.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Raw

from hotmesh.errors import PayloadInvalid, PayloadTooLarge

BYTES_MAX = 1_048_576
"""Default limit of one payload: hashes and streams are no place for files."""

DEPTH_MAX = 64
"""Nesting beyond this is a mistake or an attack; decoders recurse."""

_encoder = msgspec.msgpack.Encoder()
_PLAIN: tuple[Any, ...] = (str, bytes, float, int)
_LEAVES = frozenset({str, int, float, bool, type(None), bytes})
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


def encode(value: Any, *, what: str, bytes_max: int = BYTES_MAX) -> Raw:
    """The MessagePack of user data.

    Args:
        value: Anything listed in the module's docstring.
        what: Names the payload in errors, such as `the payload of topic 'a.b'`.
        bytes_max: Limit of the encoded size.

    Raises:
        PayloadInvalid: Something in it has no encoding, or it is nested too deep; `field` says
        where. PayloadTooLarge: It is over the limit.
    """
    plain = _plain(value, "$", 0, what)
    try:
        data = _encoder.encode(plain)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError) as exc:
        raise PayloadInvalid(f"{what} can't be encoded: {exc}") from exc
    if len(data) > bytes_max:
        raise PayloadTooLarge(what=what, size_bytes=len(data), limit_bytes=bytes_max)
    return Raw(data)


decode = msgspec.msgpack.Decoder().decode
"""Plain data of an encoded payload."""


def _plain(value: Any, field: str, depth: int, what: str) -> Any:
    kind = type(value)
    if kind in _LEAVES:
        if kind is int and not _INT_MIN <= value <= _INT_MAX:
            raise PayloadInvalid(
                f"{what}: {field} is an integer beyond 64 bits; send it as text", field=field
            )
        return value
    if depth > DEPTH_MAX:
        raise PayloadInvalid(
            f"{what} is nested deeper than {DEPTH_MAX} levels at {field[:80]}…", field=field
        )
    if kind is dict:
        return _plain_object(value, field, depth, what)
    if kind is list or kind is tuple:
        return [_plain(v, f"{field}[{i}]", depth + 1, what) for i, v in enumerate(value)]
    if kind is datetime:
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return _plain(_builtin(value, field, what), field, depth + 1, what)


def _plain_object(value: dict[Any, Any], field: str, depth: int, what: str) -> dict[str, Any]:
    out = {}
    for key, inner in value.items():
        if type(key) is not str:
            raise PayloadInvalid(
                f"{what}: a key of {field} is {type(key).__name__} {key!r:.40}; keys are text",
                field=field,
            )
        # The common leaves skip the call: this loop runs for every payload of every job.
        out[key] = inner if type(inner) is str else _plain(inner, f"{field}.{key}", depth + 1, what)
    return out


def _builtin(value: Any, field: str, what: str) -> Any:
    if isinstance(value, (str, bytes, float, int)):  # a subclass, such as a member of StrEnum
        return next(leaf(value) for leaf in _PLAIN if isinstance(value, leaf))
    if isinstance(value, dict):
        return dict(value)
    dump = getattr(value, "model_dump", None)  # pydantic, without importing it
    if callable(dump):
        return dump(mode="json")
    try:
        return msgspec.to_builtins(value, builtin_types=(bytes, datetime), str_keys=False)
    except (TypeError, ValueError, RecursionError) as exc:
        raise PayloadInvalid(
            f"{what}: {field} is {type(value).__name__}, which has no encoding; "
            "send plain data, a dataclass, a msgspec.Struct or a pydantic model",
            field=field,
        ) from exc

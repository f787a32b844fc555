"""Values of user code ⇄ MessagePack, by the annotations of the functions.

What msgspec knows goes as it is (plain data, structs, dataclasses, datetimes, decimals, UUIDs,
enums, sets, tuples, bytes), pydantic models by their own methods, paths as text. Decoding follows
the annotation of the parameter or result; without one it gives plain data.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import msgspec
from msgspec import Raw

from hotmesh.durable.errors import PayloadError

BYTES_MAX = 64 * 1024 * 1024
"""No value is larger."""

Decode = Callable[[bytes | Raw], Any]


def _enc_hook(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)  # pydantic, without importing it
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, complex):
        return [value.real, value.imag]
    raise NotImplementedError(f"{type(value).__qualname__} has no encoding")


def _dec_hook(kind: type, value: Any) -> Any:
    validate = getattr(kind, "model_validate", None)
    if callable(validate):
        return validate(value)
    if isinstance(kind, type) and issubclass(kind, PurePath):
        return kind(value)
    if kind is complex:
        return complex(*value)
    if isinstance(value, kind):
        return value
    raise NotImplementedError(f"{kind.__qualname__} can't be decoded")


_encoder = msgspec.msgpack.Encoder(enc_hook=_enc_hook)
_encode = _encoder.encode
_plain = msgspec.msgpack.Decoder().decode
_raws = msgspec.msgpack.Decoder(list[Raw]).decode


def encode(value: Any, what: str) -> Raw:
    """A value as MessagePack.

    Args:
        what: Names it in errors.

    Raises:
        PayloadError: It has no encoding, or is larger than 64 MiB.
    """
    try:
        data = _encode(value)
    except (TypeError, ValueError, OverflowError, NotImplementedError, RecursionError) as exc:
        raise PayloadError(
            f"{what} can't be encoded: {exc}; send plain data, a dataclass, a msgspec.Struct or a "
            "pydantic model"
        ) from exc
    if len(data) > BYTES_MAX:
        raise PayloadError(
            f"{what} has {len(data):,} bytes, over the limit of {BYTES_MAX:,}; keep it outside and "
            "send a reference"
        )
    return Raw(data)


def encode_args(args: Sequence[Any], what: str) -> Raw:
    """Arguments as a MessagePack array."""
    return encode(list(args), f"an argument of {what}")


def decode(data: bytes | Raw) -> Any:
    """Plain data."""
    return _plain(data)


@lru_cache(1024)
def _cached(kind: Any) -> Decode:
    try:
        return msgspec.msgpack.Decoder(kind, dec_hook=_dec_hook).decode
    except TypeError:  # an annotation that msgspec can't follow, such as a TypeVar
        return _plain


def decoder(kind: Any) -> Decode:
    """What decodes values of an annotated type; plain data for none."""
    if kind is Any or kind is inspect.Parameter.empty or kind is None or kind is object:
        return _plain
    try:
        return _cached(kind)
    except TypeError:  # not hashable
        return _plain


class Signature:
    """Parameters and result of a function, as decoders."""

    __slots__ = ("_decoders", "_rest", "name", "required", "result")

    def __init__(self, fn: Callable[..., Any], name: str, *, method: bool = False) -> None:
        self.name = name
        hints = hints_of(fn)
        parameters = list(inspect.signature(fn).parameters.values())[1 if method else 0 :]
        self._decoders: list[Decode] = []
        self._rest: Decode | None = None
        self.required = 0
        for parameter in parameters:
            decode_one = decoder(hints.get(parameter.name, Any))
            if parameter.kind is parameter.VAR_POSITIONAL:
                self._rest = decode_one
            elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                self._decoders.append(decode_one)
                if parameter.default is parameter.empty:
                    self.required = len(self._decoders)
        self.result = decoder(hints.get("return", Any))

    def args(self, data: bytes | Raw) -> list[Any]:
        """Arguments, as the annotations want them.

        Raises:
            PayloadError: They don't fit.
        """
        raws = _raws(data)
        known = len(self._decoders)
        if len(raws) < self.required or (len(raws) > known and self._rest is None):
            want = f"{self.required} to {known}" if self.required < known else str(known)
            raise PayloadError(f"{self.name} takes {want} arguments, and was given {len(raws)}")
        values = []
        for i, raw in enumerate(raws):
            decode_one = self._decoders[i] if i < known else self._rest
            assert decode_one is not None
            try:
                values.append(decode_one(raw))
            except (msgspec.ValidationError, msgspec.DecodeError, ValueError, TypeError) as exc:
                raise PayloadError(f"argument {i + 1} of {self.name} does not fit: {exc}") from exc
        return values

    def value(self, data: bytes | Raw) -> Any:
        """A result, as the annotation wants it.

        Raises:
            PayloadError: It does not fit.
        """
        try:
            return self.result(data)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError, TypeError) as exc:
            raise PayloadError(f"the result of {self.name} does not fit: {exc}") from exc


def hints_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function; those that can't be resolved are left out."""
    try:
        return typing.get_type_hints(fn)
    except (NameError, TypeError, AttributeError):
        found = {}
        space = getattr(fn, "__globals__", {})
        for name, hint in getattr(fn, "__annotations__", {}).items():
            try:
                found[name] = eval(hint, space) if isinstance(hint, str) else hint  # noqa: S307
            except (NameError, AttributeError, TypeError, SyntaxError):
                continue
        return found

"""One member of a declared type: how its values become bytes, and which tags it reads."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.errors import SettingsInvalid

LETTER = {"json": "j", "msgpack": "m"}
TEXT, BYTES = b"s:", b"b:"
"""Tags of values that are text or bytes, which travel as they are."""


class Shape:
    """One member of a declared type.

    Attributes:
        tags: The one that is written, then those that are also read.
        checked: What is written is read once before it is sent: structs do not look at their
            fields when they are made.
    """

    def __init__(self, member: Any, codec: str | None) -> None:
        self.type, self.others = member, {}
        options: Any = getattr(member, "__record__", None)
        self.name = options.type_name if options else name_of(member)
        chosen = codec or (options.codec if options else "json")
        self._msgpack = chosen == "msgpack"
        self.checked = isinstance(member, type) and _has_fields(member)
        if member is bytes or member is str:
            self._plain(member)
            return
        validate = getattr(member, "model_validate_json", None)
        names = [""]
        if callable(validate):
            self._pydantic(member, validate, [self.name, *names])
            return
        if self.checked:
            names = [self.name, *(options.type_aliases if options else ()), *names]
        self._msgspec(member, dict(options.renamed) if options else {}, names)

    def _plain(self, member: type) -> None:
        self.checked = False
        if member is bytes:
            self.tags = [BYTES, TEXT]
            self.encode = _same(bytes, "bytes")
            self.decode = self.foreign = bytes
        else:
            self.tags = [TEXT, BYTES]
            self.encode = lambda value: _same(str, "text")(value).encode()
            self.decode = self.foreign = lambda data: data.decode()
        self.convert = _same(member, member.__name__)

    def _pydantic(self, member: Any, validate: Callable[[Any], Any], names: list[str]) -> None:
        self.checked = False
        self.tags = [f"j:{n}".encode() for n in names]
        self.encode = lambda value: value.model_dump_json().encode()
        self.decode = self.foreign = validate
        self.convert = member.model_validate

    def _msgspec(self, member: Any, renamed: dict[str, str], names: list[str]) -> None:
        try:
            from_json: Callable[[bytes], Any] = msgspec.json.Decoder(member).decode
            from_msgpack: Callable[[bytes], Any] = msgspec.msgpack.Decoder(member).decode
        except (TypeError, NameError) as exc:
            raise SettingsInvalid(f"{self.name!r} can't be the type of a value: {exc}") from exc
        if renamed:
            from_json = _with_renamed(member, renamed, from_json, msgspec.json.decode)
            from_msgpack = _with_renamed(member, renamed, from_msgpack, msgspec.msgpack.decode)
        self.encode = (
            msgspec.msgpack.Encoder().encode if self._msgpack else msgspec.json.Encoder().encode
        )
        if member is Any:
            self.encode = _plain_data(self._msgpack)
        # A type may change its codec: entries of the other one are still there.
        self._either = {b"j": from_json, b"m": from_msgpack}
        mine, other = (b"m", b"j") if self._msgpack else (b"j", b"m")
        self.decode, self.foreign = self._either[mine], from_json
        self.tags = [mine + b":" + n.encode() for n in names]
        self.others = {other + b":" + n.encode(): self._either[other] for n in names}
        if not self.checked:
            self.others[mine + b":"] = self._either[mine]
        self.convert = lambda value: msgspec.convert(value, member, strict=False)

    def takes(self, value: Any) -> bool:
        if self.type is Any:
            return True
        if isinstance(self.type, type):
            if _is_typed_dict(self.type):
                return isinstance(value, dict)
            wanted: Any = (float, int) if self.type is float else self.type
            return isinstance(value, wanted)
        try:
            msgspec.convert(value, self.type)
        except (msgspec.ValidationError, TypeError):
            return False
        return True

    tags: list[bytes]
    others: dict[bytes, Callable[[bytes], Any]]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    foreign: Callable[[bytes], Any]
    convert: Callable[[Any], Any]


def members_of(value_type: Any) -> list[Any]:
    """The members of a union that have names; a type that is none is its own member."""
    if typing.get_origin(value_type) in (typing.Union, types.UnionType):
        members = list(typing.get_args(value_type))
        if all(isinstance(m, type) and m is not type(None) for m in members):
            return members
    return [value_type]


def name_of(member: Any) -> str:
    return member.__name__ if isinstance(member, type) else str(member).replace("typing.", "")


def _has_fields(member: type) -> bool:
    return issubclass(member, Struct) or dataclasses.is_dataclass(member)


def _is_typed_dict(member: type) -> bool:
    return typing.is_typeddict(member)


def _same(wanted: type, name: str) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not isinstance(value, wanted):
            raise TypeError(f"Expected `{name}`, got `{type(value).__name__}`")
        return value

    return check


def _plain_data(msgpack: bool) -> Callable[[Any], bytes]:
    encode = msgspec.msgpack.Encoder().encode if msgpack else msgspec.json.Encoder().encode

    def plain(value: Any) -> bytes:
        dump = getattr(value, "model_dump", None)  # pydantic, without importing it
        return encode(dump(mode="json") if callable(dump) else value)

    return plain


def _with_renamed(
    member: Any,
    renamed: dict[str, str],
    decode: Callable[[bytes], Any],
    plain: Callable[[bytes], Any],
) -> Callable[[bytes], Any]:
    """A decoder that looks for former names of fields. Entries that have them are the old ones."""

    def tolerant(data: bytes) -> Any:
        found = plain(data)
        if not isinstance(found, dict) or not any(old in found for old in renamed):
            return decode(data)
        for old, new in renamed.items():
            if old in found:
                found.setdefault(new, found.pop(old))
        return msgspec.convert(found, member)

    return tolerant

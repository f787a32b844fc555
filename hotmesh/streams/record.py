"""What the values of a topic are: types, their bytes, and how types may change.

A value travels as a payload and a *tag* that says what it is: a letter for the codec and the name
of the type, such as `j:Order`. The rules of evolution are msgspec's and two more: a field that is
not known is ignored, one that is missing takes its default, one that was renamed is found under the
names of `renamed`, and an entry whose tag names a type that is not expected here can't be read at
all: it goes to the dead letters, never to a handler.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Literal,
    TypeVar,
    dataclass_transform,
)

import msgspec
from msgspec import Struct, StructMeta

from hotmesh.errors import PayloadInvalid, PayloadTooLarge, SettingsInvalid
from hotmesh.payload import BYTES_MAX

CodecName = Literal["json", "msgpack"]
T = TypeVar("T")

_LETTER = {"json": "j", "msgpack": "m"}
TEXT, BYTES = b"s:", b"b:"
"""Tags of values that are text or bytes, which travel as they are."""


class Undecodable(PayloadInvalid):
    """An entry's value is of another type than expected, or does not fit it."""


class _RecordMeta(StructMeta):
    """Takes the options of `Record`, and gives the others to msgspec."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        codec: CodecName | None = None,
        type_name: str | None = None,
        type_aliases: tuple[str, ...] = (),
        renamed: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        if codec is not None and codec not in _LETTER:
            raise SettingsInvalid(f"record {name!r}: codec is 'json' or 'msgpack', not {codec!r}")
        cls = super().__new__(mcls, name, bases, namespace, **options)
        inherited = next((b.__record__ for b in bases if hasattr(b, "__record__")), None)
        options_of = RecordOptions(
            type_name or name,
            codec or (inherited.codec if inherited else "json"),
            tuple(type_aliases),
            dict(renamed or {}),
        )
        type.__setattr__(cls, "__record__", options_of)
        return cls


@dataclasses.dataclass(frozen=True, slots=True)
class RecordOptions:
    """What the class line of a `Record` says.

    Attributes:
        type_name: What its entries are called; the name of the class.
        codec: `json`, which people and other languages can read, or `msgpack`.
        type_aliases: Former names, whose entries are still read.
        renamed: Former names of fields, and what they are called now.
    """

    type_name: str
    codec: CodecName
    type_aliases: tuple[str, ...]
    renamed: dict[str, str]


if TYPE_CHECKING:
    # For type checkers a base of its own: below a Struct that is not frozen none could be.
    @dataclass_transform(field_specifiers=(msgspec.field,))
    class Record:
        """See below."""

        __record__: ClassVar[RecordOptions]
        __struct_fields__: ClassVar[tuple[str, ...]]

        def __init_subclass__(
            cls,
            *,
            codec: CodecName | None = None,
            type_name: str | None = None,
            type_aliases: tuple[str, ...] = (),
            renamed: Mapping[str, str] | None = None,
            **options: Any,
        ) -> None: ...

else:

    class Record(Struct, metaclass=_RecordMeta):
        """A value of a topic or a table: a `msgspec.Struct` with four more options on its class
        line.

        `codec="json"|"msgpack"`, `type_name=`, `type_aliases=(…)`, `renamed={"old": "new"}`; see
        `RecordOptions`. msgspec's own (`frozen`, `kw_only`, `rename`, …) are taken too.
        """


class Codec(Generic[T]):
    """Values of one declared type ⇄ payload and tag. Made once per topic or table.

    Attributes:
        value_type: What was declared; `Any` takes plain data of every kind.
    """

    def __init__(self, value_type: Any = Any, *, codec: CodecName | None = None) -> None:
        """Look at the type once.

        Args:
            value_type: A `Record` or another Struct, a dataclass, TypedDict, pydantic model, `str`,
                `bytes`, numbers, containers, a union of those with names; None or `Any` for plain
                data.
            codec: Instead of the record's own; `json` for types that have none.

        Raises:
            SettingsInvalid: msgspec can't read or write the type.
        """
        self.value_type = Any if value_type is None else value_type
        self._shapes = [_Shape(m, codec) for m in _members(self.value_type)]
        self._by_tag: dict[bytes, Callable[[bytes], Any]] = {}
        self._by_class: dict[type, _Shape] = {}
        # Plain data may be read from entries of any type: tools and `dict` handlers want that.
        self._nameless = next((s for s in self._shapes if s.others and not s.checked), None)
        for shape in reversed(self._shapes):  # the first of a union wins
            self._by_tag.update(shape.others)
        for shape in reversed(self._shapes):
            self._by_tag.update(dict.fromkeys(shape.tags, shape.decode))
            if isinstance(shape.type, type):
                self._by_class[shape.type] = shape

    def encode(self, value: T, *, what: str) -> tuple[bytes, bytes]:
        """Payload and tag of a value.

        Args:
            what: Names it in errors, such as `a value of topic 'orders'`.

        Raises:
            PayloadInvalid: It is not of the type; `field` says where.
            PayloadTooLarge: It is over a megabyte.
        """
        shape = self._by_class.get(type(value)) or self._shape_of(value)
        try:
            data = shape.encode(value)
            if shape.checked:
                shape.decode(data)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError) as exc:
            raise _invalid(exc, what) from exc
        if len(data) > BYTES_MAX:
            raise PayloadTooLarge(what=what, size_bytes=len(data), limit_bytes=BYTES_MAX)
        return data, shape.tags[0]

    def decode(self, data: bytes, tag: bytes | None) -> T:
        """The value of a payload.

        Args:
            tag: None for an entry of somebody who knows nothing of tags: JSON is assumed.

        Raises:
            Undecodable: The tag names a type that is not expected here, or the payload does not
            fit; `field` says where.
        """
        decode = self._by_tag.get(tag) if tag else self._shapes[0].foreign
        if decode is None and self._nameless is not None:
            decode = self._nameless.others.get((tag or b"")[:2])
        if decode is None:
            raise Undecodable(
                f"the entry is a {(tag or b'').decode(errors='replace')!r}, and {self} is read here"
            )
        try:
            value: T = decode(data)
            return value
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as exc:
            raise _undecodable(exc, str(self)) from exc

    def knows(self, tag: bytes) -> bool:
        """Whether a tag names a type of this codec, and not just plain data."""
        return tag in self._by_tag and len(tag) > 2

    def convert(self, value: Any, *, what: str) -> T:
        """Plain data (of a command line, or of fields of a foreign entry) as a value.

        Raises:
            PayloadInvalid: It does not fit.
        """
        for shape in self._shapes:
            try:
                converted: T = shape.convert(value)
                return converted
            except (msgspec.MsgspecError, ValueError, TypeError) as exc:
                failure = _invalid(exc, what)
        raise failure

    def _shape_of(self, value: Any) -> _Shape:
        for shape in self._shapes:
            if shape.takes(value):
                return shape
        raise PayloadInvalid(f"{type(value).__name__} is not {self}, which is declared here")

    def __str__(self) -> str:
        return " or ".join(repr(s.name) for s in self._shapes)


class _Shape:
    """One member of a declared type.

    Attributes:
        tags: The one that is written, then those that are also read.
        checked: What is written is read once before it is sent: structs do not look at their
            fields when they are made.
    """

    def __init__(self, member: Any, codec: CodecName | None) -> None:
        self.type, self.others = member, {}
        options: RecordOptions | None = getattr(member, "__record__", None)
        self.name = options.type_name if options else _name_of(member)
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


def _members(value_type: Any) -> list[Any]:
    """The members of a union that have names; a type that is none is its own member."""
    if typing.get_origin(value_type) in (typing.Union, types.UnionType):
        members = list(typing.get_args(value_type))
        if all(isinstance(m, type) and m is not type(None) for m in members):
            return members
    return [value_type]


def _name_of(member: Any) -> str:
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


def _split(exc: Exception) -> tuple[str, str]:
    """What is wrong, and where."""
    faults: list[dict[str, Any]] = getattr(exc, "errors", list)()  # pydantic
    if faults:
        first = faults[0]
        return str(first.get("msg", "")), ".".join(str(p) for p in first.get("loc", ())) or "$"
    text, _, field = str(exc).partition(" - at `")
    return text, field.rstrip("`") or "$"


def _invalid(exc: Exception, what: str) -> PayloadInvalid:
    text, field = _split(exc)
    return PayloadInvalid(f"{what}: {field}: {text}", field=field)


def _undecodable(exc: Exception, wanted: str) -> Undecodable:
    text, field = _split(exc)
    return Undecodable(f"the entry is no {wanted}: {field}: {text}", field=field)


# -- keys


def encode_key(key: Any) -> bytes | None:
    """A key as it travels: text as UTF-8, bytes as they are, everything else as JSON.

    Raises:
        PayloadInvalid: It has no JSON.
    """
    if key is None:
        return None
    if type(key) is str:
        return key.encode()
    if isinstance(key, bytes):
        return key
    try:
        return msgspec.json.encode(key, order="deterministic")
    except (TypeError, ValueError, RecursionError) as exc:
        raise PayloadInvalid(f"a key can't be {type(key).__name__}: {exc}", field="key") from exc


def key_decoder(key_type: Any = None) -> Callable[[bytes], Any]:
    """How to read keys of a type: `str` when None, bytes that are no text as bytes."""
    if key_type is bytes:
        return bytes
    if key_type is None or key_type is str:
        return _text_or_bytes
    try:
        decode = msgspec.json.Decoder(key_type).decode
    except (TypeError, NameError) as exc:
        raise SettingsInvalid(f"{_name_of(key_type)!r} can't be the type of a key: {exc}") from exc

    def typed(data: bytes) -> Any:
        try:
            return decode(data)
        except (msgspec.MsgspecError, ValueError) as exc:
            raise _undecodable(exc, f"key of type {_name_of(key_type)!r}") from exc

    return typed


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data

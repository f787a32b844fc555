"""What the values of a topic are: types, their bytes, and how types may change.

A value travels as a payload and a *tag* that says what it is: a letter for the codec and the name
of the type, such as `j:Order`. The rules of evolution are msgspec's and two more: a field that is
not known is ignored, one that is missing takes its default, one that was renamed is found under the
names of `renamed`, and an entry whose tag names a type that is not expected here can't be read at
all: it goes to the dead letters, never to a handler.
"""

from __future__ import annotations

import dataclasses
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
from hotmesh.streams.shape import LETTER, Shape, members_of, name_of

CodecName = Literal["json", "msgpack"]
T = TypeVar("T")


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
        if codec is not None and codec not in LETTER:
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
        self._shapes = [Shape(m, codec) for m in members_of(self.value_type)]
        self._by_tag: dict[bytes, Callable[[bytes], Any]] = {}
        self._by_class: dict[type, Shape] = {}
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

    def _shape_of(self, value: Any) -> Shape:
        for shape in self._shapes:
            if shape.takes(value):
                return shape
        raise PayloadInvalid(f"{type(value).__name__} is not {self}, which is declared here")

    def __str__(self) -> str:
        return " or ".join(repr(s.name) for s in self._shapes)


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
        raise SettingsInvalid(f"{name_of(key_type)!r} can't be the type of a key: {exc}") from exc

    def typed(data: bytes) -> Any:
        try:
            return decode(data)
        except (msgspec.MsgspecError, ValueError) as exc:
            raise _undecodable(exc, f"key of type {name_of(key_type)!r}") from exc

    return typed


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data

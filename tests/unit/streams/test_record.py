"""Values of topics: types, payloads, tags, and what happens when types change."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hotmesh.errors import PayloadInvalid, SettingsInvalid
from hotmesh.streams.record import Codec, Record, Undecodable, encode_key, key_decoder


class Order(Record):
    id: str
    price: float = 0.0


class Packed(Record, codec="msgpack", type_name="Order", renamed={"price": "cost"}):
    id: str
    cost: float
    note: str = "none"


class Payment(Record, type_aliases=("Pay",)):
    amount: int


@dataclasses.dataclass
class Point:
    x: int
    y: int


def test_a_record_comes_back_as_it_was() -> None:
    codec: Codec[Order] = Codec(Order)

    assert codec.encode(Order("1", 9.5), what="v") == (b'{"id":"1","price":9.5}', b"j:Order")
    assert codec.decode(b'{"id":"1","price":9.5}', b"j:Order") == Order("1", 9.5)


def test_fields_may_be_added_defaulted_and_renamed_and_the_codec_changed() -> None:
    old, new = Codec[Order](Order), Codec[Packed](Packed)
    data, tag = old.encode(Order("1", 2), what="v")

    assert new.decode(data, tag) == Packed("1", 2.0, "none")
    assert old.decode(b'{"id":"1","later":[1]}', tag) == Order("1", 0.0)
    assert new.decode(*new.encode(Packed("1", 3.0, "x"), what="v")) == Packed("1", 3.0, "x")


def test_a_type_that_is_not_expected_is_refused_and_a_former_name_is_not() -> None:
    codec: Codec[Payment] = Codec(Payment)

    assert codec.decode(b'{"amount":3}', b"j:Pay") == Payment(3)
    with pytest.raises(Undecodable, match="j:Order"):
        codec.decode(b'{"amount":3}', b"j:Order")


@pytest.mark.parametrize("payload", [b'{"price":1}', b"[]", b"\xff", b'{"id":1}'])
def test_a_payload_that_does_not_fit_is_refused(payload: bytes) -> None:
    with pytest.raises(Undecodable):
        Codec[Order](Order).decode(payload, b"j:Order")


def test_what_is_wrong_in_a_value_is_said_before_it_is_sent() -> None:
    codec: Codec[Any] = Codec(Order)

    with pytest.raises(PayloadInvalid) as wrong:
        codec.encode(Order("1", "dear"), what="a value of topic 'orders'")  # type: ignore[arg-type]
    assert wrong.value.field == "$.price"
    with pytest.raises(PayloadInvalid, match="Point"):
        codec.encode(Point(1, 2), what="v")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Any, {"a": [1, None, "x"]}),
        (dict, {"a": 1}),
        (dict[str, int], {"a": 1}),
        (str, "text"),
        (bytes, b"\xff\x00"),
        (int, 7),
        (float, 7.5),
        (list[int], [1, 2]),
        (Point, Point(1, 2)),
        (Order | Point, Point(1, 2)),
        (Order | Point, Order("a", 1.0)),
    ],
)
def test_values_of_every_kind_come_back(kind: Any, value: Any) -> None:
    codec: Codec[Any] = Codec(kind)

    data, tag = codec.encode(value, what="v")

    assert codec.decode(data, tag) == value
    assert (
        Codec[Any](kind).decode(*Codec[Any](kind, codec="msgpack").encode(value, what="v")) == value
    )


def test_plain_readers_read_entries_of_any_type_and_typed_ones_plain_entries() -> None:
    data, tag = Codec[Order](Order).encode(Order("1", 2), what="v")

    assert Codec[Any](dict).decode(data, tag) == {"id": "1", "price": 2}
    assert Codec[Any]().decode(data, tag) == {"id": "1", "price": 2}
    plain, mark = Codec[Any]().encode({"id": "1"}, what="v")
    assert Codec[Order](Order).decode(plain, mark) == Order("1")
    assert Codec[Order](Order).decode(b'{"id":"9"}', None) == Order("9")


def test_a_type_without_an_encoding_is_refused_when_it_is_declared() -> None:
    with pytest.raises(SettingsInvalid):
        Codec(object())
    with pytest.raises(SettingsInvalid, match="codec"):

        class Wrong(Record, codec="xml"):  # type: ignore[call-arg]
            a: int


@pytest.mark.parametrize(("key", "kind"), [("a", None), (b"\xff", None), (7, int), ((1, "a"), Any)])
def test_keys_come_back(key: Any, kind: Any) -> None:
    encoded = encode_key(key)
    assert encoded is not None
    found = key_decoder(kind)(encoded)
    assert found == (list(key) if isinstance(key, tuple) else key)

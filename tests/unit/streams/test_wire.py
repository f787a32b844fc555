"""Entries of topics, and the keys that they lie under."""

from __future__ import annotations

import pytest

from hotmesh.errors import NameInvalid, PayloadInvalid
from hotmesh.streams.keys import Space, check_topic_name, internal_topic, partition_of
from hotmesh.streams.wire import Entry, encode_headers, fields_of


def raw(fields: list[object]) -> list[bytes]:
    return [f if isinstance(f, bytes) else str(f).encode() for f in fields]


def test_all_fields_of_an_entry_come_back() -> None:
    fields = fields_of(b"{}", b"j:Order", b"k1", 1_700, encode_headers({"a": "b"}), b"c/1")

    entry = Entry(b"1800-3", raw(fields))

    assert (entry.payload, entry.tag, entry.key, entry.reply) == (b"{}", b"j:Order", b"k1", b"c/1")
    assert (entry.event_ms, entry.arrived_ms, entry.headers) == (1_700, 1_800, {"a": "b"})
    assert raw(entry.fields()) == raw(fields)


def test_the_time_of_an_event_is_its_arrival_unless_it_says_otherwise() -> None:
    assert Entry(b"1800-3", [b"p", b"1"]).event_ms == 1800
    assert Entry(b"1800-3", [b"p", b"1", b"e", b"x"]).event_ms == 1800


def test_an_entry_of_a_stranger_is_its_fields() -> None:
    entry = Entry(b"1-0", [b"id", b"7", b"price", b"9.5"])

    assert entry.payload is None
    assert entry.foreign == {"id": "7", "price": "9.5"}


def test_headers_are_text_and_bounded() -> None:
    with pytest.raises(PayloadInvalid, match="header"):
        encode_headers({"a": 1})
    with pytest.raises(PayloadInvalid, match="headers"):
        encode_headers({"a": "x" * 20_000})


def test_partition_p_of_all_topics_and_tables_lies_in_one_slot() -> None:
    slot = Space("hm").slot(3)

    keys = [slot.entries("orders"), slot.table("shop", "totals", "60000"), slot.owner("shop")]
    assert {key[: key.index("}") + 1] for key in keys} == {"hm:{hm~3}"}


def test_the_partition_of_a_key_never_changes() -> None:
    assert [partition_of(k, 4) for k in (b"a", b"b", b"c", b"1", b"")] == [3, 1, 3, 3, 0]


def test_names_of_internal_topics_pass_and_odd_ones_do_not() -> None:
    assert check_topic_name(internal_topic("shop", "tally", "by")) == "shop~tally~by"
    with pytest.raises(NameInvalid):
        check_topic_name("a b")
    with pytest.raises(NameInvalid):
        check_topic_name("a~{x}")

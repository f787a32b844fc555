"""Durations, ids, payloads and messages: the leaf vocabulary."""

from __future__ import annotations

import enum
import math
import os
import re
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotmesh.durations import MS_MAX, parse, render
from hotmesh.errors import (
    DurationInvalid,
    HotMeshError,
    NameInvalid,
    PayloadInvalid,
    PayloadTooLarge,
)
from hotmesh.ids import (
    GUID_LENGTH,
    check_app_id,
    check_job_id,
    check_topic,
    derive,
    escape,
    guid,
    partition_of,
    span_id,
)
from hotmesh.messages import EMPTY, Reply, Work, decode_engine_entry, decode_work, encode_entry
from hotmesh.payload import DEPTH_MAX, decode, encode
from hotmesh.router import next_delay_ms

LEAF = settings(
    max_examples=200, derandomize=bool(os.environ.get("CI")), deadline=None, database=None
)

# -- durations


@LEAF
@given(st.integers(0, MS_MAX))
def test_a_rendered_duration_is_read_back_to_the_same_milliseconds(ms: int) -> None:
    assert parse(render(ms)) == ms


@LEAF
@given(st.integers(0, MS_MAX // 1000))
def test_seconds_may_be_a_number_a_text_or_a_timedelta(seconds: int) -> None:
    forms = [seconds, float(seconds), str(seconds), f"{seconds}s", timedelta(seconds=seconds)]

    assert {parse(form) for form in forms} == {seconds * 1000}


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30s", 30_000),
        ("1h30m", 5_400_000),
        ("1 hour, 30 minutes", 5_400_000),
        ("1 month", 30 * 86_400_000),
        ("2 weeks", 14 * 86_400_000),
        ("1y", 365 * 86_400_000),
        ("250ms", 250),
        ("1.5s", 1_500),
        ("0.5", 500),
        ("PT30S", 30_000),
        ("P1DT12H", 129_600_000),
        ("P1M", 30 * 86_400_000),
        ("PT1M", 60_000),
        (" 3 Days ", 3 * 86_400_000),
        ("0s", 0),
    ],
)
def test_known_durations(text: str, ms: int) -> None:
    assert parse(text) == ms


@pytest.mark.parametrize(
    "value",
    [
        *("", " ", "s", "3 fortnights", "1h-30m", "-1s", "1,5s", "P", "PT", "1e3s", "٣s", "1h 30"),
        *(-1, math.nan, math.inf, -math.inf, MS_MAX, True, None, [], timedelta(seconds=-1)),
        "201 years",
    ],
)
def test_what_is_no_duration_is_refused(value: Any) -> None:
    with pytest.raises(DurationInvalid):
        parse(value)


@LEAF
@given(st.one_of(st.text(max_size=20), st.floats(), st.integers()))
def test_any_value_is_a_bounded_duration_or_refused(value: Any) -> None:
    try:
        ms = parse(value)
    except DurationInvalid:
        return
    assert type(ms) is int
    assert 0 <= ms <= MS_MAX


# -- ids


def test_a_derived_id_follows_from_its_parts_alone() -> None:
    """Fixed for ever: another value would start every child again that runs today."""
    assert derive("j1", "a", ",0,0") == "28f8b7eead7ecbde9ad4e4cf"
    assert span_id("j1", "a", ",0,0", "1") == "d0273ff3cdc2a5a9"


@LEAF
@given(st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1, max_size=4))
def test_derived_ids_differ_when_their_parts_do(parts: list[str]) -> None:
    assert re.fullmatch(r"[0-9a-f]{24}", derive(*parts))
    assert re.fullmatch(r"[0-9a-f]{16}", span_id(*parts))
    assert derive(*parts) != derive(*parts, "")
    assert derive(*parts, "a", "b") != derive(*parts, "ab")


def test_drawn_ids_are_short_plain_and_different() -> None:
    drawn = {guid() for _ in range(2_000)}

    assert len(drawn) == 2_000
    assert all(re.fullmatch(r"[0-9A-Za-z_-]+", g) and len(g) == GUID_LENGTH for g in drawn)


@LEAF
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_escaped_name_can_move_no_slot_and_meet_no_pattern(name: str) -> None:
    escaped = escape(name)

    assert not set("{}*?[]: \\\n") & set(escaped)
    assert escaped.isascii()


@LEAF
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=8))
def test_different_names_stay_different_when_they_are_escaped(names: list[str]) -> None:
    assert len({escape(n) for n in names}) == len(names)


def test_jobs_spread_over_partitions() -> None:
    counts = [0] * 16
    for i in range(16_000):
        counts[partition_of(f"job-{i}", 16)] += 1

    assert min(counts) > 700
    assert max(counts) < 1_300


def test_a_job_stays_in_its_partition_for_ever() -> None:
    assert [partition_of(f"job-{i}", 8) for i in range(8)] == [1, 7, 5, 3, 0, 6, 4, 2]
    assert partition_of("anything", 1) == 0


@pytest.mark.parametrize("jid", ["", "x" * 257, "\ud800", "a\0b", None, 7, b"x"])
def test_what_can_be_no_job_id_is_refused(jid: Any) -> None:
    with pytest.raises(NameInvalid):
        check_job_id(jid)


@pytest.mark.parametrize("topic", ["", ".a", "-a", "a b", "a:b", "a{b}", "é", "a" * 129, "a\n", 7])
def test_what_can_be_no_topic_is_refused(topic: Any) -> None:
    with pytest.raises(NameInvalid):
        check_topic(topic)


@pytest.mark.parametrize("app_id", ["", "a.b", "a}b", "a/b", "a" * 65, "a\n", None])
def test_what_can_be_no_app_id_is_refused(app_id: Any) -> None:
    with pytest.raises(NameInvalid):
        check_app_id(app_id)


def test_good_names_are_given_back() -> None:
    assert check_job_id("größe {1}") == "größe {1}"
    assert check_topic("a.b_c-D.9") == "a.b_c-D.9"
    assert check_app_id("my-App-9") == "my-App-9"


# -- payloads

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.datetimes(timezones=st.just(UTC)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@LEAF
@given(plain)
def test_plain_data_come_out_as_they_went_in(value: Any) -> None:
    raw = encode(value, what="x", bytes_max=10**9)

    assert _same(decode(raw), value)
    assert encode(decode(raw), what="x", bytes_max=10**9) == raw


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Text(str):
    pass


@dataclass
class Point:
    x: int
    y: Any


class Line(msgspec.Struct):
    a: Point
    name: str = "n"


@pytest.mark.parametrize(
    ("value", "out"),
    [
        (Point(1, Point(2, None)), {"x": 1, "y": {"x": 2, "y": None}}),
        (Line(Point(1, b"b")), {"a": {"x": 1, "y": b"b"}, "name": "n"}),
        ([Colour.RED, Level.HIGH], ["red", 3]),
        (Decimal("1.50"), "1.50"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (date(2026, 1, 2), "2026-01-02"),
        ((1, (2,)), [1, [2]]),
        (OrderedDict(a=1), {"a": 1}),
        ({"d": datetime(2026, 1, 2)}, {"d": datetime(2026, 1, 2, tzinfo=UTC)}),
    ],
)
def test_objects_become_plain_data(value: Any, out: Any) -> None:
    assert decode(encode(value, what="x")) == out


def test_a_datetime_of_another_zone_is_the_same_moment() -> None:
    moment = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=5)))

    assert decode(encode(moment, what="x")) == moment


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": [1, object()]}, "$.a[1]"),
        ({"a": {1: 2}}, "$.a"),
        ({"a": {"b": lambda: 0}}, "$.a.b"),
        ([2**64], "$[0]"),
        ({"x": -(2**63) - 1}, "$.x"),
        ({"x": 1 + 2j}, "$.x"),
    ],
)
def test_what_has_no_encoding_is_refused_with_its_field(value: Any, field: str) -> None:
    with pytest.raises(PayloadInvalid) as raised:
        encode(value, what="the payload of topic 'a'")

    assert raised.value.field == field
    assert "the payload of topic 'a'" in str(raised.value)


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, {"a": ["\udfff"]}])
def test_half_a_surrogate_pair_is_refused(value: Any) -> None:
    with pytest.raises(PayloadInvalid):
        encode(value, what="x")


def test_nesting_has_a_limit() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = [value]
        return value

    assert decode(encode(nested(DEPTH_MAX), what="x")) == nested(DEPTH_MAX)
    with pytest.raises(PayloadInvalid, match="nested"):
        encode(nested(DEPTH_MAX + 2), what="x")
    with pytest.raises(PayloadInvalid, match="nested"):
        encode(nested(5_000), what="x")


def test_a_cyclic_value_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(PayloadInvalid):
        encode(loop, what="x")


def test_size_has_a_limit_that_may_just_be_reached() -> None:
    assert encode("x" * 97, what="x", bytes_max=99)
    with pytest.raises(PayloadTooLarge) as raised:
        encode("x" * 98, what="x", bytes_max=99)

    assert (raised.value.size_bytes, raised.value.limit_bytes, raised.value.code) == (100, 99, 413)


def test_no_payload_appears_in_an_error() -> None:
    with pytest.raises(PayloadInvalid) as raised:
        encode({"password": ["s3cret", object()]}, what="x")

    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "value", [Text("t"), type("B", (bytes,), {})(b"b"), type("F", (float,), {})(1.5)]
)
def test_a_subclass_of_a_leaf_is_carried_as_that_leaf(value: Any) -> None:
    assert decode(encode([value], what="x")) == [value]


# -- messages


def test_a_users_data_travel_untouched() -> None:
    raw = encode({"a": [1, math.nan, b"\xff"]}, what="x")

    work = decode_work(encode_entry(Work("j", "a", ",0", "1", "t", data=raw)))

    assert bytes(work.data) == bytes(raw)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x80",
        b"\x91\xa6nobody",
        b"\x91\xa6reply1",
        b"\x93\xa6reply1\x01\x02",
        b"hello",
    ],
)
def test_garbage_is_no_entry(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_engine_entry(data)


@LEAF
@given(st.binary(max_size=64))
def test_any_bytes_are_an_entry_or_a_decode_error(data: bytes) -> None:
    for read in (decode_engine_entry, decode_work):
        try:
            read(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            pass


def test_an_empty_answer_is_an_object() -> None:
    assert decode(EMPTY) == {}
    assert Reply("j", "a", ",0", "1", "success", 200, EMPTY, "r").attempt == 0


# -- retry policy


def test_a_policy_of_many_attempts_has_a_delay_for_each() -> None:
    from hotmesh.messages import RetryRule

    rule = RetryRule(attempts_max=5_000)

    assert next_delay_ms([rule], 500, 2_000, 0.0) == rule.delay_ms_max


def test_every_error_has_a_code() -> None:
    assert all(isinstance(c.code, int) for c in HotMeshError.__subclasses__() if hasattr(c, "code"))

"""What was written yesterday is read today, and what is written today was written so yesterday."""

from __future__ import annotations

from typing import Any

import durable_examples
import msgspec
import pytest

from examples import EXAMPLES, FLEET, encode, golden, structs
from hotmesh.compiler import Plan, decode_plan, encode_plan
from hotmesh.errors import FormatUnknown
from hotmesh.messages import decode_engine_entry, decode_signal, decode_work

ARRAYS = sorted(n for n, kind in structs().items() if kind.__struct_config__.array_like)
TAGGED = sorted(n for n in ARRAYS if structs()[n].__struct_config__.tag is not None)


def read(name: str, data: bytes) -> Any:
    """Bytes as the library reads them."""
    if name == "Plan":
        return decode_plan(data)
    return msgspec.msgpack.decode(data, type=structs()[name])


def test_every_struct_that_is_stored_or_sent_has_golden_bytes() -> None:
    """A new one needs an example in examples.py; run that file to add its bytes."""
    assert set(structs()) == set(EXAMPLES)
    assert set(EXAMPLES) <= set(golden())


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_says_something_in_every_field(name: str) -> None:
    example = EXAMPLES[name]

    for field in msgspec.structs.fields(example):
        if field.default is not msgspec.NODEFAULT and field.name != "format":
            assert getattr(example, field.name) != field.default, field.name


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_has_the_bytes_that_it_always_had(name: str) -> None:
    assert encode(EXAMPLES[name]).hex() == golden()[name].hex()


@pytest.mark.parametrize("name", sorted(golden()))
def test_golden_bytes_are_read_and_written_back(name: str) -> None:
    data = golden()[name]

    assert encode(read(name, data)) == data


@pytest.mark.parametrize("name", ARRAYS)
def test_a_later_release_may_add_fields_at_the_end(name: str) -> None:
    items = msgspec.msgpack.decode(golden()[name], type=list[msgspec.Raw])
    longer = msgspec.msgpack.encode([*items, msgspec.Raw(b"\x81\xa1x\x07"), None])

    assert encode(read(name, longer)) == golden()[name]


@pytest.mark.parametrize("name", ARRAYS)
def test_an_earlier_release_may_have_known_fewer_fields(name: str) -> None:
    kind = structs()[name]
    fields = msgspec.structs.fields(kind)
    tag = 1 if name in TAGGED else 0
    needed = sum(f.default is f.default_factory is msgspec.NODEFAULT for f in fields)
    items = msgspec.msgpack.decode(golden()[name], type=list[msgspec.Raw])

    shorter = msgspec.msgpack.encode(items[: tag + needed])

    value = read(name, shorter)
    assert [getattr(value, f.name) for f in fields[needed:]] == [
        f.default if f.default is not msgspec.NODEFAULT else f.default_factory()
        for f in fields[needed:]
    ]


def test_a_later_release_may_add_fields_to_a_plan() -> None:
    tree = msgspec.msgpack.decode(golden()["Plan"])
    tree["novelty"] = {"x": 1}
    tree["graphs"]["run"]["novelty"] = [1]
    tree["graphs"]["run"]["activities"]["a1"]["novelty"] = True

    assert encode_plan(decode_plan(msgspec.msgpack.encode(tree))) == golden()["Plan"]


@pytest.mark.parametrize("name", ["Profile", "Part", "Throttle"])
def test_a_later_release_may_tell_more_of_a_member(name: str) -> None:
    tree = msgspec.msgpack.decode(golden()[name], strict=False)
    tree["novelty"] = {"x": 1}

    assert encode(read(name, msgspec.msgpack.encode(tree))) == golden()[name]


def test_a_plan_of_a_later_format_is_refused_with_what_to_do() -> None:
    tree = msgspec.msgpack.decode(golden()["Plan"])
    tree["format"] = 99

    with pytest.raises(FormatUnknown, match="upgrade"):
        decode_plan(msgspec.msgpack.encode(tree))


def test_the_keys_of_a_plan_keep_their_order() -> None:
    """People see it in results."""
    plan = EXAMPLES["Plan"]
    assert isinstance(plan, Plan)

    assert list(decode_plan(encode_plan(plan)).settings) == ["limit", "colour"]


@pytest.mark.parametrize("decode", [decode_engine_entry, decode_work, decode_signal])
def test_an_unknown_tag_is_a_decode_error(decode: Any) -> None:
    for name in TAGGED:
        items = msgspec.msgpack.decode(golden()[name])
        items[0] = f"{items[0][:-1]}9"
        with pytest.raises(msgspec.DecodeError):
            decode(msgspec.msgpack.encode(items))


def test_tags_are_all_different_and_carry_a_format_number() -> None:
    tags = [structs()[name].__struct_config__.tag for name in TAGGED]

    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, str) and tag[-1].isdigit() for tag in tags)


OF_ENGINE = {"Again", "Input", "Listen", "Start", "Stop", "Timer", "Woken"}
ENGINES = {f"durable.Run{name}" for name in OF_ENGINE} | {"durable.ScheduleTick"}
ELSEWHERE = set(durable_examples.structs()) - ENGINES
"""What streams of durable runs, their records and histories hold."""


@pytest.mark.parametrize("name", TAGGED)
def test_what_the_engine_stream_may_hold_is_told_by_its_tag(name: str) -> None:
    if name in {"Again", "Work", "Signal", "RetryRule"} | FLEET | ELSEWHERE:
        with pytest.raises(msgspec.DecodeError):
            decode_engine_entry(golden()[name])
    else:
        assert type(decode_engine_entry(golden()[name])) is structs()[name]

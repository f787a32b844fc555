"""`plain`: what a mapped value is stored as."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from hotmesh.errors import MappingError
from hotmesh.mapping import UNDEFINED, Date, plain, text_of


def test_a_value_without_anything_to_replace_is_handed_back() -> None:
    value = {"a": [1, 2.5, None, True, {"é": "ü😀", "n": -0.0}], "i": 2**63}

    assert plain(value) is value


def test_undefined_is_dropped_from_objects_and_null_in_arrays() -> None:
    value = {"a": UNDEFINED, "b": {"c": UNDEFINED}, "d": [UNDEFINED, 1]}

    assert plain(value) == {"b": {}, "d": [None, 1]}
    assert value["d"] == [UNDEFINED, 1]
    assert plain(UNDEFINED) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Date(1_710_080_736_789), datetime(2024, 3, 10, 14, 25, 36, 789_000, tzinfo=UTC)),
        (Date(math.nan), None),
        (Date(253_402_300_800_000), "+010000-01-01T00:00:00.000Z"),
        (2**64, float(2**64)),
        (-(2**63) - 1, -float(2**63)),
        (10**400, math.inf),
        ("\ud83d", "\ufffd"),
        ("a", "a"),
        (True, True),
    ],
)
def test_single_values(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert plain([value]) == [expected]
    assert plain({"k": value}) == {"k": expected}
    assert type(plain(value)) is type(expected)


def test_what_comes_out_can_be_encoded() -> None:
    value = {"\udc00": ["\ud83d", UNDEFINED, 2**70], "d": Date(0), "x": {"y": [[UNDEFINED]]}}

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(plain(value))) == {
        "\ufffd": ["\ufffd", None, float(2**70)],
        "d": datetime(1970, 1, 1, tzinfo=UTC),
        "x": {"y": [[None]]},
    }


def test_cyclic_and_multiplied_values_are_refused() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]

    for value in (cyclic, {"a": cyclic}, doubled):
        with pytest.raises(MappingError, match="cyclic"):
            plain(value)


def test_the_text_of_a_value() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)

    assert [text_of(value) for value in (3.0, True, None, "\ud83d", [1, None, [2]])] == [
        "3",
        "true",
        "null",
        "\ufffd",
        "1,,2",
    ]
    with pytest.raises(MappingError):
        text_of(cyclic)

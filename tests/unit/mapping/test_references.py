"""References: which texts are one, what they reach, and what a rule refers to."""

from __future__ import annotations

from typing import Any

import pytest

from hotmesh.mapping import UNDEFINED, Date, evaluate, is_reference, references


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{a.b}", True),
        ("{}", True),
        ("{ a }", True),
        ("{{a}}", True),
        ("{$item}", True),
        ("{@date.now}", False),
        ("{a.b} ", False),
        ("x{a.b}", False),
        ("{", False),
        ("", False),
        (5, False),
        (None, False),
        ({"a": 1}, False),
    ],
)
def test_what_is_a_reference(text: Any, answer: bool) -> None:
    assert is_reference(text) is answer


CONTEXT = {
    "a": {"output": {"data": {"x": 1, "none": None, "list": [{"k": "v"}], "text": "abc", "": "e"}}},
    "d": {"when": Date(0)},
    "1": [[10], [20, 30]],
}


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ("{a.output.data.x}", 1),
        ("{a.output.data.none}", None),
        ("{a.output.data.none.x}", UNDEFINED),
        ("{a.output.data.list.0.k}", "v"),
        ("{a.output.data.list.length}", 1),
        ("{a.output.data.list.00.k}", UNDEFINED),
        ("{a.output.data.list.-1}", UNDEFINED),
        ("{a.output.data.list.4294967296}", UNDEFINED),
        ("{a.output.data.list.99999999999999999999}", UNDEFINED),
        ("{a.output.data.text.length}", UNDEFINED),
        ("{a.output.data.text.0}", UNDEFINED),
        ("{a.output.data.}", "e"),
        ("{a.output.data.x.y.z}", UNDEFINED),
        ("{a.b.c.d.e.f.g.h}", UNDEFINED),
        ("{d.when.ms}", UNDEFINED),
        ("{d.when.zone}", UNDEFINED),
        ("{1.1.1}", 30),
        ("{__class__}", UNDEFINED),
        ("{a.keys}", UNDEFINED),
    ],
)
def test_what_a_reference_reaches(reference: str, value: Any) -> None:
    got = evaluate(reference, CONTEXT)

    assert got is value or got == value
    assert type(got) is type(value)


def test_the_references_of_a_rule_in_order_and_once() -> None:
    rule = {
        "x": "{a.output.data.x}",
        "y": {
            "@pipe": [
                ["{b.hook.data.y}", "lit", ["{never.inside.literals}"], "{a.output.data.x}"],
                ["{@string.concat}", "{$self.input.data.z}"],
                {"@pipe": [["{c}"], ["{@string.trim}", "{d.1}"]]},
                {"@reduce": [["{$output}", "{$item.name}", "{e}"], ["{@array.push}"]]},
            ],
            "beside": "{never.beside.a.pipe}",
        },
        "z": ["{f.g}", {"w": "{@date.now}"}],
    }

    assert references(rule) == [
        ("a", "output", "data", "x"),
        ("b", "hook", "data", "y"),
        ("$self", "input", "data", "z"),
        ("c",),
        ("d", "1"),
        ("e",),
        ("f", "g"),
    ]
    assert references("{a.b}") == [("a", "b")]
    assert references(["{a}", 5, None]) == [("a",)]
    assert references({"match": [{"expected": 1, "actual": "{a.b}"}]}) == [("a", "b")]

"""Properties of the mapping language over random rules and contexts."""

from __future__ import annotations

import copy
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hotmesh.mapping import (
    UNDEFINED,
    Date,
    Env,
    compile_maps,
    compile_value,
    evaluate,
    is_reference,
    plain,
    references,
)

KEYS = st.sampled_from(["a", "b", "c", "0", "1", "length", "x y", ""])
TEXTS = st.text(alphabet="ab{}.@$ é😀", max_size=6).filter(lambda text: not text.startswith("{"))
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
CONTEXTS = st.dictionaries(KEYS, VALUES, max_size=4)
REFERENCES = st.lists(KEYS, min_size=1, max_size=6).map(lambda keys: "{" + ".".join(keys) + "}")
LEAVES = REFERENCES | SCALARS.filter(lambda value: value is not None)
MAPS = st.dictionaries(
    KEYS,
    st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner, max_size=3), max_leaves=6),
    max_size=4,
)

# A deadline per example would fail on a busy machine for nothing.
UNHURRIED = settings(deadline=None)


def env() -> Env:
    return Env(now_ms=0, random=lambda: 0.5)


def looked_up(reference: str, context: Any) -> Any:
    """The plainest reading of a reference."""
    value = context
    for key in reference[1:-1].split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key == "length":
            value = len(value)
        elif isinstance(value, list) and key in map(str, range(len(value))):
            value = value[int(key)]
        else:
            return UNDEFINED
    return value


def mapped(rule: Any, context: Any) -> Any:
    """The plainest reading of a map."""
    if isinstance(rule, dict):
        return {key: mapped(value, context) for key, value in rule.items()}
    return looked_up(rule, context) if is_reference(rule) else rule


def alike(one: Any, other: Any) -> bool:
    """Equality that tells 1 from True and finds NaN like itself."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@UNHURRIED
@given(REFERENCES, CONTEXTS)
def test_a_reference_is_what_a_naive_walk_finds(reference: str, context: dict[str, Any]) -> None:
    got = evaluate(reference, context)

    assert got is looked_up(reference, context) or alike(got, looked_up(reference, context))


@UNHURRIED
@given(MAPS, CONTEXTS)
def test_a_compiled_map_equals_its_naive_interpretation(
    maps: dict[str, Any], context: dict[str, Any]
) -> None:
    before = copy.deepcopy((maps, context))

    assert alike(compile_maps(maps)(context, env()), mapped(maps, context))
    assert alike(list((maps, context)), list(before))


@UNHURRIED
@given(st.lists(VALUES, max_size=3), VALUES)
def test_evaluation_never_changes_the_rule(cells: list[Any], last: Any) -> None:
    rule = {
        "@pipe": [[cells, last], ["{@array.push}", last], ["{@array.push}"], ["{@array.reverse}"]]
    }
    before = copy.deepcopy(rule)
    run = compile_value(rule)

    first, second = run({}, env()), run({}, env())

    assert alike(rule, before)
    assert alike(first, second)
    assert first is not second


@UNHURRIED
@given(VALUES | st.lists(st.just(UNDEFINED) | VALUES, max_size=3) | st.builds(Date, st.floats()))
def test_plain_is_idempotent_and_leaves_its_argument_alone(value: Any) -> None:
    before = copy.deepcopy(value)
    once = plain(value)

    assert plain(once) is once
    assert isinstance(value, Date) or alike(value, before)


@UNHURRIED
@given(st.lists(REFERENCES, min_size=1, max_size=6), st.data())
def test_every_reference_placed_in_a_rule_is_found(placed: list[str], data: st.DataObject) -> None:
    def somewhere(reference: str) -> Any:
        return data.draw(
            st.sampled_from(
                [
                    reference,
                    {"k": {"l": reference}},
                    ["x", reference],
                    {"@pipe": [["x", reference]]},
                    {"@pipe": [["x"], ["{@string.concat}", reference]]},
                    {"@pipe": [["x"], {"@pipe": [[reference]]}, ["{@string.concat}"]]},
                    {"@pipe": [[[], 0], {"@reduce": [["{$output}", reference]]}]},
                ]
            )
        )

    rule = {str(index): somewhere(reference) for index, reference in enumerate(placed)}

    wanted = dict.fromkeys(tuple(reference[1:-1].split(".")) for reference in placed)
    assert references(rule) == list(wanted)
    compile_maps(rule)


@UNHURRIED
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive_their_text(number: float) -> None:
    rule = {"@pipe": [["{n}"], ["{@string.concat}"], ["{@unary.positive}"]]}

    assert evaluate(rule, {"n": number}) == number


@UNHURRIED
@given(st.text(max_size=12), st.integers(-15, 15), st.integers(-15, 15))
def test_slices_put_together_are_the_text(text: str, first: int, second: int) -> None:
    low, high = sorted((abs(first), abs(second)))
    cut = {"@pipe": [
        {"@pipe": [["{t}", 0, low], ["{@string.slice}"]]},
        {"@pipe": [["{t}", low, high], ["{@string.slice}"]]},
        {"@pipe": [["{t}", high], ["{@string.slice}"]]},
        ["{@string.concat}"],
    ]}  # fmt: skip

    assert evaluate(cut, {"t": text}) == text

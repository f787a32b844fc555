"""Rows, nested pipes and reduces, where the recorded vectors leave something open."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hotmesh.errors import MappingError
from hotmesh.mapping import UNDEFINED, Env, compile_maps, compile_value, evaluate, evaluate_maps


def pipe(*rows: Any) -> dict[str, Any]:
    return {"@pipe": list(rows)}


def test_surplus_cells_are_evaluated_and_may_raise() -> None:
    with pytest.raises(MappingError, match=r"row 3, \{@array.pop\}"):
        evaluate(pipe(["a"], ["{@string.trim}", "x"], ["{@array.pop}", "y"]), {})

    with pytest.raises(MappingError):
        evaluate(pipe(["a", "{@date.toISOString}"], ["{@string.trim}"]), {})


def test_a_surplus_call_runs_after_the_arguments_before_it() -> None:
    rule = pipe(["{n}"], ["{@array.reverse}", "{@math.random}"], ["{@array.length}"])
    context = {"n": [1, 2]}
    drawn: list[float] = []

    def random() -> float:
        drawn.append(0.5)
        return 0.5

    assert compile_value(rule)(context, Env(now_ms=0, random=random)) == 2
    assert context == {"n": [2, 1]}
    assert drawn == [0.5]


def test_cells_of_the_last_row_are_evaluated_and_dropped() -> None:
    context = {"n": [1, 2]}

    assert evaluate(pipe(["a"], ["{@string.trim}", "{@symbol.null}", "b"]), context) == "a"
    with pytest.raises(MappingError):
        evaluate(pipe(["a"], ["{@string.trim}"], {"@pipe": [["{x}"], ["{@string.trim}"]]}), context)


def test_the_row_before_nested_pipes_still_runs() -> None:
    context = {"n": [1, 2, 3]}

    value = evaluate(pipe(["{n}"], ["{@array.pop}"], pipe(["q"]), ["{@string.concat}"]), context)

    assert value == "q"
    assert context == {"n": [1, 2]}


def test_a_variable_in_place_of_the_function_drops_the_arguments_before_it() -> None:
    rule = pipe(
        ["{n}", []],
        {"@reduce": [["{$item}", 10], ["{@math.multiply}"], ["{$output}"], ["{@array.length}"]]},
    )

    assert evaluate(rule, {"n": [1]}) == 0


def test_variables_are_restored_after_a_fault_inside_of_a_reduce() -> None:
    env = Env(now_ms=0, random=lambda: 0.5)
    failing = compile_value(pipe([[1]], {"@reduce": [["{@string.trim}"]]}))

    with pytest.raises(MappingError, match=r"row 2, @reduce, row 1, \{@string.trim\}"):
        failing({}, env)

    assert env.frame is None


def test_a_variable_outside_of_a_reduce_is_undefined_in_a_map_too() -> None:
    assert evaluate_maps({"a": "{$item}", "b": "{$items}"}, {"$item": 1}) == {
        "a": UNDEFINED,
        "b": UNDEFINED,
    }


def test_the_input_of_a_reduce_may_change_while_it_is_walked() -> None:
    rule = pipe(
        ["{n}", 0],
        {
            "@reduce": [
                {"@pipe": [["{$input}", 7], ["{@array.push}", 1], ["{@array.get}"]]},
                ["{@math.add}"],
            ]
        },
    )
    context = {"n": [1, 2]}

    assert evaluate(rule, context) == 2
    assert context == {"n": [1, 2, 7, 7]}


def test_clock_and_chance_come_from_outside() -> None:
    env = Env(now_ms=86_400_000, random=lambda: 0.25)
    maps = {
        "now": "{@date.now}",
        "day": "{@date.yyyymmdd}",
        "chance": "{@math.random}",
        "ignored": pipe([1, 2], ["{@math.random}"]),
    }

    assert compile_maps(maps)({}, env) == {
        "now": 86_400_000,
        "day": "1970-01-02",
        "chance": 0.25,
        "ignored": 0.25,
    }


def test_the_conveniences_take_the_machines_clock_unless_one_is_given() -> None:
    before = int(datetime.now(UTC).timestamp() * 1000)
    now = evaluate("{@date.now}", {})
    after = int(datetime.now(UTC).timestamp() * 1000) + 1

    assert isinstance(now, int)
    assert before <= now <= after
    assert evaluate("{@date.now}", {}, now=datetime(1970, 1, 2, tzinfo=UTC)) == 86_400_000
    assert evaluate("{@math.random}", {}) != evaluate("{@math.random}", {})


def test_whole_numbers_are_handed_out_as_int() -> None:
    for rule in (pipe([0.5, 2], ["{@math.multiply}"]), pipe(["3.0"], ["{@unary.positive}"])):
        assert type(evaluate(rule, {})) is int
    assert type(evaluate(pipe([2**53, 4], ["{@math.multiply}"]), {})) is float


def test_dates_of_the_context_are_read_but_not_changed() -> None:
    when = datetime(2024, 3, 10, 14, 25, 36, 789_000, tzinfo=UTC)

    assert (
        evaluate(pipe(["{d}"], ["{@date.toISOString}"]), {"d": when}) == "2024-03-10T14:25:36.789Z"
    )
    assert evaluate(pipe(["{d}", 0], ["{@date.setTime}"]), {"d": when}) == 0
    assert evaluate(pipe([["{d}"]], ["{@json.stringify}"]), {"d": when}) == '["{d}"]'
    assert (
        evaluate(pipe(["{a}"], ["{@json.stringify}"]), {"a": [when]})
        == '["2024-03-10T14:25:36.789Z"]'
    )
    assert evaluate(pipe(["{d}", 1], ["{@conditional.greater_than}"]), {"d": when}) is True


def test_frozen_and_hidden_members_last_as_long_as_the_pass() -> None:
    env = Env(now_ms=0, random=lambda: 0.5)
    context: dict[str, Any] = {"o": {"a": 1}}
    define = compile_value(pipe(["{o}", "h", {"value": 2}], ["{@object.defineProperty}"]))
    read = compile_value("{o.h}")
    grow = compile_value(pipe(["{o}", "b", 1], ["{@object.set}"]))
    freeze = compile_value(pipe(["{o}"], ["{@object.freeze}"]))

    define(context, env)
    assert read(context, env) == 2
    assert context == {"o": {"a": 1}}
    freeze(context, env)
    with pytest.raises(MappingError, match="nothing can be added"):
        grow(context, env)

    fresh = Env(now_ms=0, random=lambda: 0.5)
    assert read(context, fresh) is UNDEFINED
    assert grow(context, fresh) == {"a": 1, "b": 1}

"""What is refused when a rule is compiled, and what the errors say."""

from __future__ import annotations

from typing import Any

import pytest

from hotmesh.errors import MappingError
from hotmesh.mapping import (
    Env,
    compile_condition,
    compile_maps,
    compile_value,
    evaluate,
    references,
)


def env() -> Env:
    return Env(now_ms=0, random=lambda: 0.5)


def refused(rule: Any, path: str = "") -> MappingError:
    with pytest.raises(MappingError) as caught:
        compile_value(rule, path=path)
    return caught.value


def pipe(*rows: Any) -> dict[str, Any]:
    return {"@pipe": list(rows)}


def test_an_unknown_function_names_row_and_function_and_suggests_the_nearest() -> None:
    error = refused(pipe(["{a.b}"], ["{@string.toUpercase}"]))

    assert error.where == "row 2, {@string.toUpercase}"
    assert "there is no function {@string.toUpercase}" in str(error)
    assert "did you mean {@string.toUpperCase}" in str(error)


def test_a_function_of_another_family_is_suggested() -> None:
    assert "did you mean {@string.split}" in str(refused(pipe(["a"], ["{@array.split}"])))


def test_an_unknown_family_lists_the_families() -> None:
    assert "the families are array, bitwise" in str(refused(pipe(["a"], ["{@zzz.zzz}"])))


def test_the_place_in_the_model_comes_first() -> None:
    with pytest.raises(MappingError) as caught:
        compile_maps(
            {"x": {"y": pipe(["a"], ["{@nope.fn}"])}}, path="graphs[0].activities.a1.job.maps"
        )

    assert caught.value.where == "graphs[0].activities.a1.job.maps.x.y, row 2, {@nope.fn}"


def test_nested_rows_are_named_from_the_outside_in() -> None:
    error = refused(pipe(["a"], {"@pipe": [["b"], {"@reduce": [["{@nope.fn}"]]}]}))

    assert error.where == "row 2, row 2, @reduce, row 1, {@nope.fn}"


def test_a_null_leaf_says_how_null_is_written() -> None:
    with pytest.raises(MappingError, match=r"x\.y: null .* write \{@symbol\.null\}"):
        compile_maps({"x": {"y": None}})


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"@pipe": []}, "has no rows"),
        ({"@pipe": "abc"}, "a list of rows"),
        ({"@pipe": ["abc"]}, "a row is a list of cells"),
        (pipe(["x"], []), "the row is empty"),
        (pipe(["x"], ["y"]), "begins with a function"),
        (pipe(["x"], [5]), "begins with a function"),
        (pipe(["x"], ["{y}"]), "begins with a function"),
        (pipe(["x"], ["{$item}"]), "begins with a function"),
        (pipe({"@pipe": [["x"]]}), "nested pipes only"),
        (pipe(["x"], {"@map": []}), "has @pipe or @reduce"),
        (pipe(["x"], {"@pipe": [["x"]], "@reduce": [["{$item}"]]}), "not both"),
        (pipe(["x"], {"@reduce": []}), "has no rows"),
        (pipe({"@pipe": [["x"]]}, {"@reduce": [["{$item}"]]}), "takes its values from a row"),
        (pipe([], ["{@string.trim}"]), "needs an argument"),
        ("{@string.trim}", "in a cell it is called without any"),
        ("{@symbol}", "there is no function"),
        ("{@string.slice.x}", "there is no function"),
        ("{@array.constructor}", "there is no function"),
        (pipe([[1]], ["{@array.map}"]), "use a row {'@reduce'"),
        (pipe(*[["{@symbol.null}"]] * 201), "more than 200 rows"),
    ],
)
def test_what_can_never_work_is_refused(rule: Any, says: str) -> None:
    assert says in str(refused(rule))


def test_rules_nest_to_a_limit() -> None:
    deep: Any = "leaf"
    for _ in range(5_000):
        deep = {"x": deep}
    nested: Any = ["x"]
    for _ in range(100):
        nested = (
            {"@pipe": [nested, ["{@string.concat}"]]} if isinstance(nested, dict) else pipe(nested)
        )

    for compiler, rule in ((compile_maps, deep), (compile_value, nested), (references, deep)):
        with pytest.raises(MappingError, match="nested deeper than 32 levels"):
            compiler(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "yes",
        {"code": True},
        {"code": {}},
        {"match": {}},
        {"match": [5]},
        {"match": [{"actual": 1}]},
        {"match": [{"expected": 1, "actual": "{@nope.fn}"}]},
    ],
)
def test_malformed_conditions_are_refused(rule: Any) -> None:
    with pytest.raises(MappingError):
        compile_condition(rule, path="transitions.a[0].conditions")


def test_a_fault_at_run_time_names_the_row_and_what_it_got_but_not_the_value() -> None:
    rule = pipe(["{a.secret}", 1], ["{@string.slice}", 2], ["{@string.padStart}"])

    with pytest.raises(MappingError) as caught:
        compile_maps({"x": rule}, path="maps")({"a": {"secret": 4711}}, env())

    assert caught.value.where == "maps.x, row 2, {@string.slice}"
    assert "not on a number" in str(caught.value)
    assert "4711" not in str(caught.value)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_missing_value_is_called_undefined() -> None:
    with pytest.raises(MappingError, match="this works on text, not on undefined"):
        evaluate(pipe(["{a.b}"], ["{@string.trim}"]), {})


def test_changing_the_rule_later_does_not_change_what_was_compiled() -> None:
    rule = pipe([[1, {"k": 2}]], ["{@array.push}"])
    run = compile_value(rule)
    rule["@pipe"][0][0].append(9)

    first = run({}, env())
    first.append(3)
    first[1]["k"] = 4

    assert run({}, env()) == [1, {"k": 2}]

"""No rule and no data may harm the process: sizes, steps, depth and patterns are bounded."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from time import perf_counter
from typing import Any

import pytest

from hotmesh.errors import MappingError
from hotmesh.mapping import FAMILIES, UNDEFINED, Date, Env, compile_value, evaluate, plain


def pipe(*rows: Any) -> dict[str, Any]:
    return {"@pipe": list(rows)}


def doubling(function: str, seed: Any, turns: int = 80) -> dict[str, Any]:
    return pipe(["{n}", seed], {"@reduce": [["{$output}", "{$output}"], [f"{{@{function}}}"]]})


LONG = "x" * 4_000_000


@pytest.mark.parametrize(
    ("rule", "context", "says"),
    [
        (pipe(["ab", 1e9], ["{@string.repeat}"]), {}, "4,194,304 units"),
        (pipe(["ab", 1e15, "é"], ["{@string.padStart}"]), {}, "4,194,304 units"),
        (pipe(["ab", 1e300], ["{@string.padEnd}"]), {}, "4,194,304 units"),
        (pipe(["{t}", "{t}"], ["{@string.concat}"]), {"t": LONG}, "4,194,304 units"),
        (pipe(["{t}", "{t}"], ["{@math.add}"]), {"t": LONG}, "4,194,304 units"),
        (pipe(["{t}", "x", "$`$'$`$'$'"], ["{@string.replace}"]), {"t": LONG}, "units"),
        (pipe([["{t}", 1], "{t}"], ["{@array.join}"]), {"t": LONG * 2}, "4,194,304 units"),
        (pipe(["{t}", ""], ["{@string.split}"]), {"t": LONG}, "1,000,000 elements"),
        (pipe(["{t}"], ["{@object.keys}"]), {"t": LONG}, "1,000,000 elements"),
        (pipe([[], 1e9, 1], ["{@object.set}"]), {}, "1,000,000 elements"),
        (pipe([[], "length", 4e9], ["{@object.set}"]), {}, "whole number up to"),
        (pipe([[], "4294967294", {"value": 1}], ["{@object.defineProperty}"]), {}, "elements"),
        (pipe(["{t}", "(a+)+$"], ["{@string.search}"]), {"t": "a" * 40 + "b"}, "too many steps"),
        (pipe(["{t}", "(a|a)*$"], ["{@string.search}"]), {"t": "a" * 40 + "b"}, "too many steps"),
        (pipe(["{t}", "(?=(a*)*b)c"], ["{@string.search}"]), {"t": "a" * 5000}, "too many steps"),
        (pipe(["x", "(" * 60 + ")" * 60], ["{@string.search}"]), {}, "groups in one another"),
        (pipe(["x", "(a{900}){900}"], ["{@string.search}"]), {}, "too large"),
        (pipe(["x", "a{1001}"], ["{@string.search}"]), {}, "more than 1,000 times"),
        (doubling("string.concat", "ab"), {"n": [0] * 80}, "4,194,304 units"),
        (doubling("array.concat", [1]), {"n": [0] * 80}, "1,000,000"),
        (pipe(["{n}", 0], {"@reduce": [["{$index}"]]}), {"n": [0] * 200_000}, "steps of work"),
        (pipe(["{n}", []], {"@reduce": [["{$output}", "{$item}"], ["{@array.concat}"]]}),
         {"n": [0] * 50_000}, "steps of work"),
        (pipe(["{n}"], ["{@array.sort}"]), {"n": ["é" * 40] * 30_000}, "steps of work"),
        (pipe(["[" * 100_000], ["{@json.parse}"]), {}, "nested too deeply"),
    ],
)  # fmt: skip
def test_sizes_and_steps_are_bounded(rule: Any, context: dict[str, Any], says: str) -> None:
    started = perf_counter()

    with pytest.raises(MappingError, match=says):
        evaluate(rule, context)

    assert (
        perf_counter() - started < 10
    )  # seconds; unbounded, each would take minutes or all memory


def test_shared_parts_that_multiply_do_not_run_for_ever() -> None:
    nest = pipe(
        ["{n}", []],
        {"@reduce": [{"@pipe": [["{@symbol.array}", "{$output}"], ["{@array.push}", "{$output}"],
                                ["{@array.push}"]]}, ["{@array.concat}", 0], ["{@array.slice}"]]},
    )  # fmt: skip
    context = {"n": [0] * 60}
    value = evaluate(nest, context)

    for function in ("string.concat", "json.stringify"):
        with pytest.raises(MappingError):
            evaluate(pipe(["{v}"], [f"{{@{function}}}"]), {"v": value})
    with pytest.raises(MappingError):
        plain(value)
    assert evaluate(pipe([[1], "{v}"], {"@reduce": [["{$output}"]]}), {"v": value}) is not value


def test_cyclic_values_are_an_error_and_not_a_crash() -> None:
    cyclic: list[Any] = [1]
    cyclic.append(cyclic)

    for function in ("string.concat", "json.stringify", "math.max", "conditional.equality"):
        with pytest.raises(MappingError):
            evaluate(pipe(["{c}", "x"], [f"{{@{function}}}"]), {"c": cyclic})


def test_steps_are_counted_per_rule() -> None:
    run = compile_value(pipe(["{n}", 0], {"@reduce": [["{$index}"]]}))
    env = Env(now_ms=0, random=lambda: 0.5)

    for _ in range(3):
        assert run({"n": [0] * 40_000}, env) == 39_999


# -- nothing but MappingError gets out -------------------------------------------------------------

CYCLIC: list[Any] = [1]
CYCLIC.append(CYCLIC)
VALUES: list[Any] = [
    None, UNDEFINED, True, False, 0, -0.0, 1, -1, 2.5, 1e21, 1e308, float("nan"), float("inf"),
    -float("inf"), 2**70, 10**400, "", "a", "abc", "12", "-3.5", "😀x", "\ud83d", "2024-03-10",
    "2024-03-10T10:00:00Z", "{x}", "$&", "[", r"(\d+)\1", "* * * * *", "en-US", "x" * 10_000, [],
    [1, 2, 3], ["b", "a"], [[1], [2, [3]]], [None, UNDEFINED], {}, {"a": 1}, {"10": 1, "2": {}},
    {"value": 1, "enumerable": True}, {"get": 1}, {"timeZone": "Mars/Base"}, {"month": "long"},
    {"0": "k", "1": "v"}, CYCLIC, datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC),
    date(2024, 1, 1), b"bytes", (1, 2), {1, 2}, object(), "0x1F", "1" * 5_000,
]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_no_function_lets_another_exception_out(family: str) -> None:
    drawn = random.Random(family)
    outcomes = 0

    for name in FAMILIES[family]:
        for _ in range(60):
            values = [drawn.choice(VALUES) for _ in range(drawn.randint(0, 4))]
            context = {str(index): value for index, value in enumerate(values)}
            context["0"] = (
                list(values[0]) if values and type(values[0]) is list else context.get("0")
            )
            context["d"] = Date(drawn.choice([0, float("nan"), 8.64e15]))
            cells = [f"{{{index}}}" for index in range(len(values))] or ["{d}"]
            zone = drawn.choice(["UTC", "America/New_York", "Australia/Lord_Howe", "No/Where"])
            env = Env(now_ms=1_710_080_736_250, random=lambda: 0.5, tz=zone)
            try:
                plain(compile_value(pipe(cells, [f"{{@{family}.{name}}}"]))(context, env))
            except MappingError:
                pass
            outcomes += 1

    assert outcomes == 60 * len(FAMILIES[family])

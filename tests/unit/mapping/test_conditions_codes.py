"""Codes of conditions, with the patterns that the original does not have."""

from __future__ import annotations

from typing import Any

import pytest

from hotmesh.errors import MappingError
from hotmesh.mapping import Env, compile_condition, evaluate_condition


@pytest.mark.parametrize(
    ("code", "fits", "misses"),
    [
        ("4**", [400, 422, 499], [40, 4000, 500, 200]),
        ("5*", [50, 59], [500, 5]),
        ("*", [4], [40]),
        ("20*", [200, 202], [210]),
        (["4**", 500], [404, 500], [200, 501]),
        ([200, "202"], [200], [202]),
        (["202"], [202], [200]),
        ("4.*", [], [404, 400]),
        (200.0, [200], [201]),
        (None, [200], [500]),
    ],
)
def test_codes(code: Any, fits: list[int], misses: list[int]) -> None:
    rule = {"code": code}

    assert [one for one in fits + misses if evaluate_condition(rule, {}, one)] == fits


def test_no_condition_is_followed_whatever_the_code() -> None:
    assert evaluate_condition(None, {}, 500) is True
    assert evaluate_condition(False, {}, 200) is False


def test_the_code_comes_before_the_matches() -> None:
    trim = {"@pipe": [["{a}"], ["{@string.trim}"]]}
    rule = {"code": 500, "match": [{"expected": 1, "actual": trim}]}
    run = compile_condition(rule, path="transitions.a[0].conditions")
    env = Env(now_ms=0, random=lambda: 0.5)

    assert run({}, 200, env) is False
    with pytest.raises(MappingError) as caught:
        run({}, 500, env)
    assert caught.value.where == "transitions.a[0].conditions.match[0], row 2, {@string.trim}"


def test_matches_are_strict() -> None:
    for expected, actual, answer in (
        (1, True, False),
        (True, 1, False),
        (1, 1.0, True),
        ("1", 1, False),
        (None, None, True),
        ([], [], False),
        (float("nan"), float("nan"), False),
        (2**53, 2**53 + 1, True),
    ):
        rule = {"match": [{"expected": expected, "actual": "{v}"}]}
        assert evaluate_condition(rule, {"v": actual}) is answer, (expected, actual)

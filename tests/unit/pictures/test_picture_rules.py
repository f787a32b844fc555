"""Rules of the mapping language in words."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotmesh.pictures.rules import TEXT_MAX, condition_text, value_text
from hotmesh.pictures.words import clean


def pipe(*rows: Any) -> dict[str, Any]:
    return {"@pipe": list(rows)}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("{a.output.data.x.y}", "a.x.y"),
        ("{a.output.data}", "a"),
        ("{a.hook.data.x}", "a.hook.x"),
        ("{here.output.data.x}", "x"),
        ("{here.hook.data.x}", "x"),
        ("{$self.output.data.x}", "x"),
        ("{$self.hook.data}", "hook"),
        ("{$job.data.x}", "job.x"),
        ("{$job.metadata.jid}", "job.jid"),
        ("{$app.settings.depot.city}", "settings.depot.city"),
        ("{@date.now}", "date.now()"),
        ("{@symbol.null}", "null"),
        ("plain", "plain"),
        ("two words", "“two words”"),
        ("true", "“true”"),
        (True, "true"),
        (None, "null"),
        (4.5, "4.5"),
        ([1, "a"], "[1, a]"),
        ({"a": 1}, "{a}"),
        (
            pipe(["{t.output.data.sum}", 3], ["{@math.add}", 50], ["{@math.multiply}"]),
            "(t.sum + 3) × 50",
        ),
        (pipe(["{a.b}", 1], ["{@math.add}"], ["{@string.concat}", "x"]), "concat(a.b + 1)"),
        (pipe(["{a.b}"], ["{@array.length}"]), "length(a.b)"),
        (pipe(pipe(["a"]), pipe(["b"]), ["{@string.concat}"]), "a & b"),
        (pipe(["{a.b}", "yes", "no"], ["{@conditional.ternary}"]), "a.b ? yes : no"),
        (pipe([[1, 2], 0], {"@reduce": [["{$output}"]]}), "reduce(…)"),
    ],
)
def test_a_value_in_words(rule: Any, words: str) -> None:
    assert value_text(rule, here="here") == words


OVER = pipe(
    ["{here.output.data.sum}", "{here.output.data.tax}"],
    ["{@math.add}", 50],
    ["{@conditional.greater_than}"],
)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        (None, ""),
        ({"code": 422}, "code 422"),
        ({"code": [429, 503]}, "code 429 or 503"),
        ({"match": [{"expected": "col", "actual": "{here.output.data.next}"}]}, "when next = col"),
        ({"match": [{"expected": True, "actual": OVER}]}, "when sum + tax > 50"),
        ({"match": [{"expected": False, "actual": OVER}]}, "when not (sum + tax > 50)"),
        (
            {"match": [{"expected": 1, "actual": "{a.b}"}, {"expected": 2, "actual": "{a.c}"}]},
            "when a.b = 1 and a.c = 2",
        ),
        (
            {
                "gate": "or",
                "match": [{"expected": 1, "actual": "{a.b}"}, {"expected": 2, "actual": "{a.c}"}],
            },
            "when a.b = 1 or a.c = 2",
        ),
        (
            {"code": 418, "match": [{"expected": True, "actual": "{a.b}"}]},
            "code 418 and a.b = true",
        ),
        (
            {
                "code": 418,
                "gate": "or",
                "match": [{"expected": 1, "actual": "{a.b}"}, {"expected": 2, "actual": "{a.c}"}],
            },
            "code 418 and (a.b = 1 or a.c = 2)",
        ),
    ],
)
def test_conditions_in_words(conditions: Any, words: str) -> None:
    assert condition_text(conditions, here="here") == words


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
NAMES = st.sampled_from(["@pipe", "@reduce", "match", "gate", "code", "expected", "actual", "x"])
CELLS = SCALARS | st.sampled_from(["{@math.add}", "{@conditional.equality}", "{a.output.data.x}"])
ANYTHING = st.recursive(
    CELLS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3)
)


@given(rule=ANYTHING)
def test_anything_has_words(rule: Any) -> None:
    for words in (value_text(rule), condition_text(rule)):
        assert len(words) <= TEXT_MAX
        assert clean(words) == words


def test_a_pipe_that_doubles_with_every_row_stays_short() -> None:
    rule: Any = "{a.b}"
    for _ in range(40):
        rule = pipe([rule, rule], ["{@math.add}"])

    assert len(value_text(rule)) <= TEXT_MAX

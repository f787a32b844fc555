"""docs/reference/pipes.md: every function has a line, and the examples say what is true."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

from hotmesh.mapping import FAMILIES, UNDEFINED, Date, Env, compile_value

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "pipes.md"
NOW_MS = 1_710_080_736_250
LINE = re.compile(r"^- `(\w+)\.(\w+)\(", re.MULTILINE)
EXAMPLE = re.compile(r"`(\[.*?\])` → `(.*?)`(?=\n|\.|$|;)", re.DOTALL)


def encoded(value: Any) -> Any:
    """A result as the page writes it."""
    if value is UNDEFINED:
        return {"$undefined": True}
    if isinstance(value, Date):
        return {
            "$date": compile_value({"@pipe": [["{d}"], ["{@date.toJSON}"]]})({"d": value}, env())
        }
    if isinstance(value, float) and math.isnan(value):
        return {"$nan": True}
    if isinstance(value, float) and math.isinf(value):
        return {"$inf": 1 if value > 0 else -1}
    return value


def env() -> Env:
    return Env(now_ms=NOW_MS, random=lambda: 0.5)


def test_every_function_has_a_line_and_no_other_has_one() -> None:
    named = set(LINE.findall(PAGE.read_text()))

    assert named == {(family, name) for family, table in FAMILIES.items() for name in table}


def test_every_example_has_the_value_that_the_page_gives() -> None:
    text = PAGE.read_text()
    examples = EXAMPLE.findall(text)
    wrong = []

    for rows, result in examples:
        got = encoded(compile_value({"@pipe": json.loads(rows)})({"a": {}}, env()))
        if json.dumps(got) != json.dumps(json.loads(result)):
            wrong.append((rows, result, got))

    assert not wrong
    assert len(examples) == text.count(" → ")


def test_every_function_that_can_be_called_has_an_example() -> None:
    bare = [line for line in PAGE.read_text().splitlines() if LINE.match(line) and "→" not in line]

    assert len(bare) == 8
    assert all("refused when the rule is compiled" in line for line in bare)

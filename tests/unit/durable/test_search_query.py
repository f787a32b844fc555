"""The query language of listings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from hotmesh.durable.errors import SearchQueryError
from hotmesh.durable.listing import indexes_of
from hotmesh.durable.search_query import holds, parse

RUN: dict[str, Any] = {
    "status": "running",
    "workflow": "order",
    "workflow_id": "o-1",
    "start_time": datetime(2026, 1, 31, 12, tzinfo=UTC),
    "close_time": None,
    "customer": "Ann's",
    "total": 100,
    "rate": 0.5,
    "urgent": True,
    "tags": ["a b", "c-d"],
    "due": datetime(2026, 2, 1, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", True),
        ("  ", True),
        ("status = 'running'", True),
        ("status == 'running'", True),
        ("status != 'completed'", True),
        ("status in ('completed', 'failed')", False),
        ("status not in ('completed', 'failed')", True),
        ("customer = 'Ann''s'", True),
        ('customer = "Ann\'s"', True),
        ("customer = 'Ann'", False),
        ("total = 100", True),
        ("total = 100.0", True),
        ("total = '100'", False),
        ("total != '100'", True),
        ("total > 99.5 AND total <= 100", True),
        ("total between 100 and 200", True),
        ("total not between 100 and 200", False),
        ("rate >= 5e-1", True),
        ("rate < -1", False),
        ("urgent = true", True),
        ("urgent = 1", False),
        ("tags = 'a b'", True),
        ("tags = 'c-d' and tags = 'a b'", True),
        ("tags != 'a b'", False),
        ("nothing = null", True),
        ("total = null", False),
        ("nothing = 'x'", False),
        ("nothing != 'x'", True),
        ("nothing < 5", False),
        ("not nothing < 5", True),
        ("start_time >= '2026-01-31'", True),
        ("start_time >= '2026-01-31T13:00:00+01:00'", True),
        ("start_time > '2026-01-31T12:00:00Z'", False),
        ("close_time = null", True),
        ("close_time != null", False),
        ("close_time < '2026-01-31'", False),
        ("due = '2026-02-01'", True),
        ("due < '2026-02-01'", False),
        ("due = 'soon'", False),
        ("status = 'failed' or total = 100 and urgent = true", True),
        ("(status = 'failed' or total = 100) and urgent = false", False),
        ("not (status = 'failed' or total = 1) and not urgent = false", True),
        ("workflow_id in ('o-1')", True),
    ],
)
def test_a_query_holds(query: str, expected: bool) -> None:
    assert holds(parse(query), RUN) is expected


@pytest.mark.parametrize(
    ("query", "column", "why"),
    [
        ("status", 7, "expected = != "),
        ("status =", 9, "expected a value, not 'the end'"),
        ("status = running", 10, "written in quotes, 'running'"),
        ("status = 'runing'", 10, "one of running"),
        ("status > 5", 10, "one of running"),
        ("= 'x'", 1, "expected the name of a field"),
        ("and = 'x'", 1, "expected the name of a field"),
        ("a = 'x' b = 'y'", 9, "expected 'and', 'or' or the end"),
        ("a = 'x' and", 12, "expected the name of a field"),
        ("(a = 'x'", 9, "expected ')'"),
        ("a in 'x'", 6, "expected '('"),
        ("a in ()", 7, "expected a value"),
        ("a not = 'x'", 7, "after 'not'"),
        ("a between 1 or 2", 13, "expected 'and'"),
        ("a < true", 5, "has no order"),
        ("a = 'x", 5, "this text has no end"),
        ("a = 1x", 5, "not understood"),
        ("a ; b", 3, "not understood"),
        ("start_time > 'noon'", 14, "ISO 8601"),
        ("start_time = null", 14, "ISO 8601"),
        ("workflow = 5", 12, "write it in quotes"),
        ("(" * 40 + "a = 1" + ")" * 40, 33, "nested deeper"),
        ("a" * 70 + " = 1", 1, "can't be a search attribute"),
        (f"a in ({', '.join(['1'] * 101)})", 307, "at most 100 values"),
    ],
)
def test_an_error_points_at_the_column(query: str, column: int, why: str) -> None:
    with pytest.raises(SearchQueryError) as caught:
        parse(query)
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"column {column}:")


def test_what_is_too_long_or_no_text_is_refused() -> None:
    with pytest.raises(SearchQueryError, match="at most 4,096"):
        parse("a" * 5000)
    with pytest.raises(SearchQueryError, match="is text, not int"):
        parse(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("status = 'running'", [["open"]]),
        ("status = 'failed' and customer = 'x'", [["closed"], ["a:customer=x"]]),
        ("status in ('failed', 'completed')", [["closed"]]),
        ("total = 5 or total = 6", [["a:total=5", "a:total=6"]]),
        ("total = 5.0", [["a:total=5"]]),
        ("urgent = true", [["a:urgent=true"]]),
        ("total = 5 or total > 6", []),
        ("not total = 5", []),
        ("total != 5", []),
        ("due = '2026-02-01'", []),
        ("a = null", []),
        ("workflow = 'x'", []),
    ],
)
def test_equality_finds_its_index(query: str, expected: list[list[str]]) -> None:
    assert indexes_of(parse(query)) == expected

"""The query language of listings: `status = 'running' and (customer = 'x' or total >= 100)`.

Comparisons (`= != < <= > >=`, `in (…)`, `between … and …`), `and`, `or`, `not` and parentheses.
Values are text in quotes (doubled within: `'it''s'`), numbers, `true`, `false` and `null`. A value
is compared with one of its own kind only; times are text in ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NoReturn, TypeAlias

from msgspec import Struct

from hotmesh.core.durable.ledger import is_attribute_name
from hotmesh.durable.errors import SearchQueryError

QUERY_CHARS_MAX, DEPTH_MAX, VALUES_MAX = 4_096, 32, 100

STATES = (
    "running",
    "completed",
    "failed",
    "canceled",
    "terminated",
    "interrupted",
    "timed_out",
)
TIMES = ("start_time", "close_time")
BUILT_IN = ("status", "workflow", "workflow_id", "run_id", "task_queue", *TIMES)

Operator: TypeAlias = Literal["=", "!=", "<", "<=", ">", ">="]
Value: TypeAlias = str | int | float | bool | None


class Compare(Struct, frozen=True):
    """One field against one value."""

    field: str
    operator: Operator
    value: Any


class Both(Struct, frozen=True):
    """All of several."""

    parts: tuple[Query, ...]


class Either(Struct, frozen=True):
    """One of several."""

    parts: tuple[Query, ...]


class Not(Struct, frozen=True):
    """The opposite."""

    part: Query


Query: TypeAlias = Compare | Both | Either | Not

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark><=|>=|!=|<>|==|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE | re.ASCII,
)
_WORDS = frozenset(["and", "or", "not", "in", "between", "true", "false", "null"])
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
_OPERATORS: dict[str, Operator] = {
    "=": "=",
    "==": "=",
    "!=": "!=",
    "<>": "!=",
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
}


class _Token(Struct, frozen=True):
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """A keyword, in lower case, or a mark."""
        return (
            self.text.lower() if self.kind == "word" else self.text if self.kind == "mark" else ""
        )


def parse(query: str) -> Query | None:
    """A query; None for an empty one, which finds everything.

    Raises:
        SearchQueryError: With the column at which it can't be understood.
    """
    if not isinstance(query, str):
        raise SearchQueryError(f"a query is text, not {type(query).__name__}")
    if len(query) > QUERY_CHARS_MAX:
        raise SearchQueryError(f"a query has at most {QUERY_CHARS_MAX:,} characters")
    if not query.strip():
        return None
    return _Parser(query).whole()


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._tokens = self._split()
        self._next = self._depth = 0

    def _split(self) -> list[_Token]:
        tokens, at, query = [], 0, self._query.rstrip()
        while at < len(query):
            found = _TOKEN.match(query, at)
            if found is None:
                at += len(query[at:]) - len(query[at:].lstrip())
                hint = "this text has no end" if query[at] in "'\"" else f"{query[at : at + 10]!r}"
                self._refuse(at, f"{hint} is not understood" if hint[0] == "'" else hint)
            kind = found.lastgroup or ""
            tokens.append(_Token(kind, found[kind], found.start(kind)))
            at = found.end()
        return [*tokens, _Token("end", "", len(query))]

    def _refuse(self, at: int, why: str) -> NoReturn:
        error = SearchQueryError(
            f"column {at + 1}: {why}\n  {self._query}\n  {' ' * at}^"
            if "\n" not in self._query
            else f"column {at + 1}: {why}"
        )
        error.column = at + 1  # type: ignore[attr-defined]
        raise error

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        self._next += token.kind != "end"
        return token

    def _took(self, word: str) -> bool:
        if self._now.word != word:
            return False
        self._take()
        return True

    def _expect(self, word: str) -> None:
        if not self._took(word):
            self._refuse(self._now.at, f"expected {word!r}, not {self._now.text or 'the end'!r}")

    def whole(self) -> Query:
        query = self._either()
        if self._now.kind != "end":
            self._refuse(self._now.at, f"expected 'and', 'or' or the end, not {self._now.text!r}")
        return query

    def _either(self) -> Query:
        parts = [self._both()]
        while self._took("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self) -> Query:
        parts = [self._one()]
        while self._took("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _one(self) -> Query:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            self._refuse(self._now.at, f"nested deeper than {DEPTH_MAX}")
        try:
            if self._took("not"):
                return Not(self._one())
            if self._took("("):
                query = self._either()
                self._expect(")")
                return query
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> Query:
        token = self._take()
        if token.kind != "word" or token.word in _WORDS:
            self._refuse(token.at, f"expected the name of a field, not {token.text or 'the end'!r}")
        field = token.text
        if not is_attribute_name(field):
            self._refuse(token.at, f"{field!r:.80} is no field and can't be a search attribute")
        negated = self._took("not")
        if self._took("in"):
            query = self._in(field)
        elif self._took("between"):
            low = self._value(field, ordered=True)
            self._expect("and")
            high = self._value(field, ordered=True)
            query = Both((Compare(field, ">=", low), Compare(field, "<=", high)))
        elif negated:
            self._refuse(self._now.at, "expected 'in' or 'between' after 'not'")
        else:
            mark = self._take()
            operator = _OPERATORS.get(mark.text)
            if operator is None:
                what = mark.text or "the end"
                self._refuse(mark.at, f"expected = != < <= > >= in or between, not {what!r}")
            ordered = operator not in ("=", "!=")
            return Compare(field, operator, self._value(field, ordered=ordered))
        return Not(query) if negated else query

    def _in(self, field: str) -> Query:
        self._expect("(")
        values = [self._value(field)]
        while self._took(","):
            if len(values) >= VALUES_MAX:
                self._refuse(self._now.at, f"'in' takes at most {VALUES_MAX} values")
            values.append(self._value(field))
        self._expect(")")
        return Either(tuple(Compare(field, "=", value) for value in values))

    def _value(self, field: str, *, ordered: bool = False) -> Any:
        token = self._take()
        value = self._literal(token)
        if ordered and (value is None or isinstance(value, bool)):
            self._refuse(token.at, f"{token.text} has no order")
        if field == "status":
            if value not in STATES:
                self._refuse(token.at, f"a status is one of {', '.join(STATES)}")
        elif field in TIMES:
            if value is None and field == "close_time":
                return None
            moment = time_of(value)
            if moment is None:
                self._refuse(token.at, "a time is text in ISO 8601, such as '2026-01-31T12:00:00Z'")
            return moment
        elif field in BUILT_IN and not isinstance(value, str):
            self._refuse(token.at, f"{field} is text: write it in quotes")
        return value

    def _literal(self, token: _Token) -> Value:
        if token.kind == "text":
            mark = token.text[0]
            return token.text[1:-1].replace(mark * 2, mark)
        if token.kind == "number":
            is_whole = not set(token.text) & set(".eE")
            return int(token.text) if is_whole else float(token.text)
        if token.word in _CONSTANTS:
            return _CONSTANTS[token.word]
        hint = f": text is written in quotes, '{token.text}'" if token.kind == "word" else ""
        self._refuse(token.at, f"expected a value, not {token.text or 'the end'!r}{hint}")


def time_of(value: Any) -> datetime | None:
    """Text in ISO 8601 as a time; one without an offset is UTC."""
    if not isinstance(value, str) or len(value) < 10:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def holds(query: Query | None, fields: Mapping[str, Any]) -> bool:
    """Whether a query is true of a run, by its fields and search attributes."""
    match query:
        case None:
            return True
        case Compare():
            return _compares(query, fields.get(query.field))
        case Both():
            return all(holds(part, fields) for part in query.parts)
        case Either():
            return any(holds(part, fields) for part in query.parts)
        case Not():
            return not holds(query.part, fields)


def _compares(query: Compare, found: Any) -> bool:
    if query.operator == "!=":
        return not _compares(Compare(query.field, "=", query.value), found)
    if isinstance(found, (list, tuple)):
        return any(_compares(query, one) for one in found)
    value = query.value
    if value is None or found is None:
        return query.operator == "=" and value is None and found is None
    if isinstance(found, datetime) and isinstance(value, str):
        value = time_of(value)
    if _kind(value) != _kind(found):
        return False
    if isinstance(found, datetime) and found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return _TESTS[query.operator](found, value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: bool(a == b),
    "<": lambda a, b: bool(a < b),
    "<=": lambda a, b: bool(a <= b),
    ">": lambda a, b: bool(a > b),
    ">=": lambda a, b: bool(a >= b),
}

"""The mapping language against recorded behaviour: every pipe, map and condition of the original's
vectors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from vectors import (
    COUNTS,
    context_of,
    decode,
    env_of,
    load,
    same,
    without_aliases,
)

from hotmesh.errors import MappingError
from hotmesh.mapping import compile_condition, compile_maps, compile_value

# Where a later release answers differently, each function follows one of the two columns. All
# follow the later one: models that use nested pipes and @reduce need it (array.push must give the
# array back), and where it differs otherwise the first releases raised on null or sorted numbers as
# text.
COLUMN = {
    "array.get": "later",
    "array.push": "later",
    "array.push+string.concat": "later",
    "array.sort": "later",
    "array.sort+array.join": "later",
    "array.sort+array.reverse+array.get+bitwise.leftShift": "later",
    "object.assign": "later",
    "object.entries": "later",
    "object.getOwnPropertyDescriptor": "later",
    "object.getOwnPropertyNames": "later",
    "object.getOwnPropertySymbols": "later",
    "object.keys": "later",
    "object.values": "later",
    "pipe": "later",  # a row that is text is refused
    "string.concat": "later",  # nested pipes, also as the first row
    "string.split+array.get+string.concat": "later",
    "string.toUpperCase+string.concat": "later",
    "symbol.null": "later",  # the object functions on null
    "symbol.undefined": "later",
}

UNCHANGED = {"multi-018"}
"""Vectors whose later column leaves the context as it was (sorted by value, then reversed, it is
what it was), which the recording can't tell apart from "as in the other column"."""

SKIPPED: frozenset[str] = frozenset()
"""Optional vectors that can't be done without ICU's data: none so far."""


def by_function(name: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for vector in load(name):
        parts = vector["fn"].split("+")
        groups[vector["fn"] if len(parts) == 1 else f"pipes of {vector['family']}"].append(vector)
    return groups


PIPES = by_function("pipes")
LATER = by_function("pipes_later")


def chosen(vector: dict[str, Any]) -> dict[str, Any]:
    """The vector with the column that its function follows."""
    if "later" not in vector or COLUMN[vector["fn"]] == "base":
        return vector
    column = {**vector, **vector["later"]}
    if vector["id"] in UNCHANGED:
        del column["context_after"]
    return column


def differences(vector: dict[str, Any], run: Callable[[Any], Any]) -> str | None:
    """What is wrong with a vector's outcome, or None."""
    context = context_of(vector)
    try:
        got = run(context)
    except MappingError as exc:
        if not vector["raises"]:
            return f"{vector['id']}: raised {exc}"
    else:
        if vector["raises"]:
            return f"{vector['id']}: gave {got!r}, should raise {vector.get('error')}"
        expected = decode(vector["expect"])
        if not same(got, expected, approx=vector.get("approx", False)):
            return f"{vector['id']}: gave {got!r}, not {expected!r}"
    after = without_aliases(context)
    if not same(after, decode(vector.get("context_after", vector["context"]))):
        return f"{vector['id']}: left the context as {after!r}"
    return None


def pipe_difference(vector: dict[str, Any]) -> str | None:
    rule = {"@pipe": decode(vector["pipe"])}
    wrong = differences(vector, lambda context: compile_value(rule)(context, env_of(vector)))
    if wrong is None and not same(rule, {"@pipe": decode(vector["pipe"])}):
        return f"{vector['id']}: changed the rule"
    return wrong


def map_difference(vector: dict[str, Any]) -> str | None:
    maps = decode(vector["maps"])
    return differences(vector, lambda context: compile_maps(maps)(context, env_of(vector)))


def condition_difference(vector: dict[str, Any]) -> str | None:
    rule, code = decode(vector["rule"]), vector["code"]
    return differences(
        vector, lambda context: compile_condition(rule)(context, code, env_of(vector))
    )


def failures(vectors: list[dict[str, Any]], check: Callable[[Any], str | None]) -> list[str]:
    found = [check(vector) for vector in vectors if vector["id"] not in SKIPPED]
    return [wrong for wrong in found if wrong]


@pytest.mark.parametrize("name", sorted(PIPES))
def test_pipes_of_the_first_release(name: str) -> None:
    assert not failures(list(map(chosen, PIPES[name])), pipe_difference)


@pytest.mark.parametrize("name", sorted(LATER))
def test_pipes_of_later_releases(name: str) -> None:
    assert not failures(LATER[name], pipe_difference)


def test_maps() -> None:
    assert not failures(load("mapper"), map_difference)


def test_conditions() -> None:
    assert not failures(load("conditions"), condition_difference)


def test_no_vector_is_missing() -> None:
    assert sum(map(len, PIPES.values())) == COUNTS["pipes"]
    assert sum(map(len, LATER.values())) == COUNTS["pipes_later"]
    assert len({vector["id"] for name in COUNTS for vector in load(name)}) == sum(COUNTS.values())


def test_every_difference_between_releases_is_decided() -> None:
    undecided = {v["fn"] for vectors in PIPES.values() for v in vectors if "later" in v}

    assert undecided == COLUMN.keys()

"""References: `{a1.output.data.x}` → the keys to walk, and a closure that walks them.

The closures are written out for the usual depths, because almost every rule is one of them; they
index plain dicts and leave whatever goes wrong (a missing key, an array, text, null) to one slow
walk that knows JavaScript's rules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.env import Closure, Env
from hotmesh.mapping.javascript import UNDEFINED
from hotmesh.mapping.javascript.objects import Marks, member

VARIABLES: Final = ("$item", "$key", "$index", "$input", "$output")
"""What a reduce sets. Every reference that begins like one of them is looked up there and never in
the context.
"""


def is_reference(text: Any) -> bool:
    """Whether a literal is a reference: the braces fill the whole text, and it is not `{@…}`."""
    return (
        isinstance(text, str)
        and text.startswith("{")
        and text.endswith("}")
        and not text.startswith("{@")
    )


def is_variable(text: Any) -> bool:
    """Whether a reference names (or begins like) a variable of a reduce."""
    return is_reference(text) and text[1:].startswith(VARIABLES)


def segments(text: str) -> tuple[str, ...]:
    """The keys of a reference, as they stand: blanks and brackets are part of them."""
    return tuple(text[1:-1].split("."))


def walk(value: Any, keys: tuple[str, ...], marks: Marks | None) -> Any:
    """Follow own properties; UNDEFINED where one is missing. Text and numbers have none here."""
    for key in keys:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, (dict, list)):
            value = member(value, key, marks)
        else:
            return UNDEFINED
    return value


def compile_reference(keys: tuple[str, ...]) -> Closure:
    """A closure that walks from the context."""

    def slow(context: Any, env: Env) -> Any:
        return walk(context, keys, env.marks)

    unrolled = _UNROLLED.get(len(keys))
    return unrolled(*keys, slow) if unrolled else slow


def compile_variable(keys: tuple[str, ...]) -> Closure:
    """A closure that reads a variable of the running reduce, or walks from it."""
    name, below = keys[0][1:], keys[1:]
    if keys[0] not in VARIABLES:
        return lambda context, env: UNDEFINED

    def read(context: Any, env: Env) -> Any:
        value = getattr(env.frame, name)
        return walk(value, below, env.marks) if below else value

    return read


# A missing key raises KeyError; text, numbers, null and arrays refuse a text as index with
# TypeError.
_MISSES: Final = (KeyError, TypeError)


def _one(a: str, slow: Closure) -> Closure:
    def read(context: Any, env: Env) -> Any:
        try:
            return context[a]
        except _MISSES:
            return slow(context, env)

    return read


def _two(a: str, b: str, slow: Closure) -> Closure:
    def read(context: Any, env: Env) -> Any:
        try:
            return context[a][b]
        except _MISSES:
            return slow(context, env)

    return read


def _three(a: str, b: str, c: str, slow: Closure) -> Closure:
    def read(context: Any, env: Env) -> Any:
        try:
            return context[a][b][c]
        except _MISSES:
            return slow(context, env)

    return read


def _four(a: str, b: str, c: str, d: str, slow: Closure) -> Closure:
    def read(context: Any, env: Env) -> Any:
        try:
            return context[a][b][c][d]
        except _MISSES:
            return slow(context, env)

    return read


def _five(a: str, b: str, c: str, d: str, e: str, slow: Closure) -> Closure:
    def read(context: Any, env: Env) -> Any:
        try:
            return context[a][b][c][d][e]
        except _MISSES:
            return slow(context, env)

    return read


_UNROLLED: Final[dict[int, Callable[..., Closure]]] = {
    1: _one,
    2: _two,
    3: _three,
    4: _four,
    5: _five,
}

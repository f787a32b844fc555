"""Calls: `{@family.name}` and cells for its arguments → a closure.

Every fault inside a function leaves here as a `MappingError` that names the place, and nothing else
does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hotmesh.errors import MappingError
from hotmesh.mapping.env import Closure, Env
from hotmesh.mapping.functions import FAMILIES
from hotmesh.mapping.functions.array import needs_callback
from hotmesh.mapping.javascript import OutOfRange, WrongType

FAULTS: Final = (
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)
"""All that data can make a function raise."""

_VARIADIC: Final = 0x04  # the flag of a code object with *args


@dataclass(frozen=True, slots=True)
class Cell:
    """A compiled cell.

    Attributes:
        run: Gives its value.
        inert: Reading it neither raises nor changes anything, so that it may be left out when
            nobody takes the value.
        constant: It always gives `value`, which nothing can change.
    """

    run: Closure
    inert: bool = False
    constant: bool = False
    value: Any = None


def constant(value: Any) -> Cell:
    return Cell(lambda context, env: value, inert=True, constant=True, value=value)


def is_function(text: Any) -> bool:
    return isinstance(text, str) and text.startswith("{@") and text.endswith("}")


def find(text: str, where: str) -> Callable[..., Any]:
    """The function that `{@family.name}` names; raises with the nearest names if there is none."""
    family, _, name = text[2:-1].partition(".")
    functions = FAMILIES.get(family, {})
    if name not in functions:
        raise MappingError(f"there is no function {text}{_suggestion(family, name)}", where=where)
    function = functions[name]
    if function is needs_callback:
        raise MappingError(
            f"{text} takes a function, which a pipe can't give it; use a row {{'@reduce': [...]}}",
            where=where,
        )
    return function


def _suggestion(family: str, name: str) -> str:
    from difflib import get_close_matches

    elsewhere = [f"{other}.{name}" for other in FAMILIES if name in FAMILIES[other]]
    known = [f"{other}.{one}" for other, functions in FAMILIES.items() for one in functions]
    near = elsewhere[:2] or get_close_matches(f"{family}.{name}", known, n=2)
    if near:
        return "; did you mean " + " or ".join(f"{{@{one}}}" for one in near) + "?"
    if family in FAMILIES:
        return f"; {family} has {', '.join(FAMILIES[family])}"
    return f"; the families are {', '.join(FAMILIES)}"


def fault(exc: BaseException, where: str) -> MappingError:
    """The error for what a function raised.

    Only our own messages are shown: others may quote data.
    """
    if isinstance(exc, (WrongType, OutOfRange)):
        return MappingError(str(exc), where=where)
    if isinstance(exc, RecursionError):
        return MappingError("the values or the rule are nested too deeply", where=where)
    return MappingError(f"the function failed with {type(exc).__name__}", where=where)


def compile_call(text: str, arguments: Sequence[Cell], where: str) -> Cell:
    """A call of a function with the cells as its arguments.

    Args:
        text: The function, as the rule has it.
        where: The place of the row, without the function.
    """
    where = f"{where}, {text}" if where else text
    function = find(text, where)
    code = function.__code__
    takes_env = code.co_varnames[:1] == ("env",)
    most = code.co_argcount - takes_env
    least = most - len(function.__defaults__ or ())
    if len(arguments) < least:
        hint = "" if arguments else "; in a cell it is called without any"
        raise MappingError(
            f"the function needs {'an argument' if least == 1 else f'{least} arguments'}{hint}",
            where=where,
        )
    taken = list(arguments) if code.co_flags & _VARIADIC else list(arguments[:most])
    surplus = [cell for cell in arguments[len(taken) :] if not cell.inert]
    if surplus:
        # Surplus cells are not handed on, but they are evaluated in their turn, and may raise.
        function, taken = _without(function, len(surplus)), [*taken, *surplus]
    if takes_env:
        taken = [Cell(_env), *taken]
    return Cell(_call(function, taken, where))


def _env(context: Any, env: Env) -> Env:
    return env


def _without(function: Callable[..., Any], count: int) -> Callable[..., Any]:
    """The function, called with `count` more arguments at the end, which it does not see."""
    return lambda *arguments: function(*arguments[:-count])


def _call(function: Callable[..., Any], cells: list[Cell], where: str) -> Closure:
    """The closure of a call, written out for the usual numbers of arguments."""
    runs = [cell.run for cell in cells]
    if len(runs) == 0:
        return _call_none(function, where)
    if len(runs) == 1:
        return _call_one(function, runs[0], where)
    if len(runs) == 2 and cells[1].constant:
        return _call_one_and_constant(function, runs[0], cells[1].value, where)
    if len(runs) == 2:
        return _call_two(function, runs[0], runs[1], where)
    if len(runs) == 3:
        return _call_three(function, runs[0], runs[1], runs[2], where)
    return _call_many(function, runs, where)


def _call_none(function: Callable[..., Any], where: str) -> Closure:
    def call(context: Any, env: Env) -> Any:
        try:
            return function()
        except FAULTS as exc:
            raise fault(exc, where) from exc

    return call


def _call_one(function: Callable[..., Any], first: Closure, where: str) -> Closure:
    def call(context: Any, env: Env) -> Any:
        try:
            return function(first(context, env))
        except FAULTS as exc:
            raise fault(exc, where) from exc

    return call


def _call_one_and_constant(
    function: Callable[..., Any], first: Closure, second: Any, where: str
) -> Closure:
    def call(context: Any, env: Env) -> Any:
        try:
            return function(first(context, env), second)
        except FAULTS as exc:
            raise fault(exc, where) from exc

    return call


def _call_two(function: Callable[..., Any], first: Closure, second: Closure, where: str) -> Closure:
    def call(context: Any, env: Env) -> Any:
        try:
            return function(first(context, env), second(context, env))
        except FAULTS as exc:
            raise fault(exc, where) from exc

    return call


def _call_three(
    function: Callable[..., Any], first: Closure, second: Closure, third: Closure, where: str
) -> Closure:
    def call(context: Any, env: Env) -> Any:
        try:
            return function(first(context, env), second(context, env), third(context, env))
        except FAULTS as exc:
            raise fault(exc, where) from exc

    return call


def _call_many(function: Callable[..., Any], runs: list[Closure], where: str) -> Closure:
    def call(context: Any, env: Env) -> Any:
        try:
            return function(*[run(context, env) for run in runs])
        except FAULTS as exc:
            raise fault(exc, where) from exc

    return call

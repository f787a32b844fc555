"""Pipes: rows of cells → one closure.

The closures of the rows enclose one another: the call of a row has as its arguments the call of the
row before and that row's remaining cells. Python evaluates arguments from left to right, which is
just the order that the language asks for, so nothing is left of the rows at run time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from hotmesh.errors import MappingError
from hotmesh.mapping.calls import (
    FAULTS,
    Cell,
    compile_call,
    constant,
    fault,
    is_function,
)
from hotmesh.mapping.cells import Place, compile_cell
from hotmesh.mapping.env import TURN_STEPS, Closure, Env, Frame
from hotmesh.mapping.javascript import UNDEFINED, copied
from hotmesh.mapping.javascript.objects import pairs_of
from hotmesh.mapping.paths import is_variable

ROWS_MAX: Final = 200
"""Rows of one pipe. Their closures enclose one another, so this also bounds the stack."""


def is_pipe(rule: Any) -> bool:
    return isinstance(rule, dict) and "@pipe" in rule


def compile_pipe(rows: Any, place: Place) -> Cell:
    """A pipe from what stands under `@pipe`."""
    state = _Rows(_checked(rows, "@pipe", place), place, None)
    if state.arguments is None:
        raise MappingError(
            "the pipe has nested pipes only; add a row of values before or a function after them",
            where=place.where,
        )
    return state.result(state.arguments)


def _checked(rows: Any, key: str, place: Place) -> list[Any]:
    if not isinstance(rows, list):
        raise MappingError(f"{key} holds a list of rows", where=place.where)
    if not rows:
        raise MappingError(f"{key} has no rows", where=place.where)
    if len(rows) > ROWS_MAX:
        raise MappingError(f"{key} has more than {ROWS_MAX} rows", where=place.where)
    return rows


class _Rows:
    """Compiles rows one after the other.

    Attributes:
        arguments: What the next function gets: the value so far and the cells after it. None before
            there is a row.
        queue: Results of nested pipes, which the next function gets instead.
    """

    def __init__(self, rows: list[Any], place: Place, prior: list[Cell] | None) -> None:
        self.arguments = prior
        self.queue: list[Cell] = []
        self.first = prior is None
        for number, row in enumerate(rows, 1):
            self.add(row, place.inside(f"row {number}"))
            self.first = False

    def add(self, row: Any, place: Place) -> None:
        if isinstance(row, dict):
            self.nest(row, place)
        elif not isinstance(row, list):
            raise MappingError(
                "a row is a list of cells, {'@pipe': [...]} or {'@reduce': [...]}",
                where=place.where,
            )
        elif self.first:
            self.arguments = _cells(row, place)
        else:
            self.call(row, place)

    def nest(self, row: dict[str, Any], place: Place) -> None:
        if "@pipe" in row and "@reduce" in row:
            raise MappingError("a row has @pipe or @reduce, not both", where=place.where)
        if "@pipe" in row:
            self.queue.append(compile_pipe(row["@pipe"], place))
        elif "@reduce" in row:
            if self.queue:
                raise MappingError(
                    "@reduce takes its values from a row, not from the nested pipes before it; "
                    "put them into a row or after a function",
                    where=place.where,
                )
            body = _checked(row["@reduce"], "@reduce", place)
            self.arguments = [_compile_reduce(body, self.arguments, place)]
        else:
            raise MappingError(
                "an object in place of a row has @pipe or @reduce", where=place.where
            )

    def call(self, row: list[Any], place: Place) -> None:
        if not row:
            raise MappingError(
                "the row is empty; it begins with a function such as {@string.concat}",
                where=place.where,
            )
        given = self.queue or self.arguments or []
        before = self.arguments if self.queue and self.arguments else []
        rest = _cells(row[1:], place)
        if place.in_reduce and is_variable(row[0]):
            # A variable in place of the function: its value comes first, and the prior arguments
            # go.
            value = _after([*before, *given], compile_cell(row[0], place))
        elif is_function(row[0]):
            if before and given:
                given = [_after(before, given[0]), *given[1:]]
            value = compile_call(row[0], given, place.where)
        else:
            raise MappingError(
                "every row but the first begins with a function such as {@string.concat}",
                where=place.where,
            )
        self.arguments, self.queue = [value, *rest], []

    def result(self, arguments: list[Cell]) -> Cell:
        """The first of the last arguments; what stands beside it is evaluated and dropped."""
        value = arguments[0] if arguments else constant(UNDEFINED)
        return _before(value, [*arguments[1:], *self.queue])


def _cells(row: Sequence[Any], place: Place) -> list[Cell]:
    return [compile_cell(cell, place) for cell in row]


def _after(dropped: Sequence[Cell], cell: Cell) -> Cell:
    """The cell, evaluated after others whose values nobody takes."""
    runs = [one.run for one in dropped if not one.inert]
    if not runs:
        return cell
    last = cell.run

    def run(context: Any, env: Env) -> Any:
        for one in runs:
            one(context, env)
        return last(context, env)

    return Cell(run)


def _before(cell: Cell, dropped: Sequence[Cell]) -> Cell:
    """The cell, evaluated before others whose values nobody takes."""
    runs = [one.run for one in dropped if not one.inert]
    if not runs:
        return cell
    first = cell.run

    def run(context: Any, env: Env) -> Any:
        value = first(context, env)
        for one in runs:
            one(context, env)
        return value

    return Cell(run)


def _output(context: Any, env: Env) -> Any:
    assert env.frame is not None  # rows of a reduce run inside of it only
    return env.frame.output


def _compile_reduce(rows: list[Any], prior: list[Cell] | None, place: Place) -> Cell:
    """A reduce over the first of the prior arguments, with the second as its seed."""
    if prior is None:
        return constant(UNDEFINED)
    source, seed = [*prior, constant(UNDEFINED), constant(UNDEFINED)][:2]
    inner = place.inside("@reduce", in_reduce=True)
    state = _Rows(rows, inner, [Cell(_output, inert=True)])
    assert state.arguments is not None  # it began with a prior row
    body = state.result(state.arguments).run
    seed = _before(seed, prior[2:])
    return Cell(_reduce(source.run, seed.run, body, place.where))


def _reduce(source: Closure, seed: Closure, body: Closure, where: str) -> Closure:
    def run(context: Any, env: Env) -> Any:
        outer = env.frame
        try:
            walked, first = source(context, env), seed(context, env)
            # The seed is copied, so that a turn that works in place leaves the data alone that it
            # came from.
            frame = Frame(walked, None if first is UNDEFINED else copied(first))
            env.frame = frame
            for index, (key, item) in enumerate(pairs_of(walked)):
                env.spend(TURN_STEPS + _weight(frame.output))
                frame.index, frame.key, frame.item = index, key, item
                frame.output = body(context, env)
            return frame.output
        except FAULTS as exc:
            raise fault(exc, where) from exc
        finally:
            env.frame = outer

    return run


def _weight(output: Any) -> int:
    """What a turn may cost for the size of what it works on: appending by copying is quadratic."""
    if isinstance(output, str):
        return len(output) >> 10
    return len(output) >> 6 if isinstance(output, (list, dict)) else 0

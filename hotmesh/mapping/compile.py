"""Rules → closures, once.

The engine compiles a model's maps when it is linked and only calls them afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotmesh.errors import MappingError
from hotmesh.mapping.calls import Cell
from hotmesh.mapping.cells import NESTING_MAX, Place, compile_cell
from hotmesh.mapping.env import Closure, Env
from hotmesh.mapping.javascript import UNDEFINED, Date, property_key
from hotmesh.mapping.javascript.objects import ordered
from hotmesh.mapping.paths import is_reference, is_variable, segments
from hotmesh.mapping.pipe import compile_pipe, is_pipe


def compile_value(rule: Any, *, path: str = "") -> Closure:
    """A single value: a literal, a reference, a function without arguments, or a pipe.

    Args:
        rule: Arrays and objects other than a pipe are literals, taken whole and copied per
            evaluation.
        path: The place in the model, which errors begin with.

    Returns:
        A closure of a context and an `Env`. It raises `MappingError` and nothing else.

    Raises:
        MappingError: The rule can't work on any data: an unknown function, a malformed row, a
            missing argument.
    """
    place = Place(path)
    cell = compile_pipe(rule["@pipe"], place) if is_pipe(rule) else compile_cell(rule, place)
    return _counted(cell)


def compile_maps(maps: Any, *, path: str = "") -> Callable[[Any, Env], dict[str, Any]]:
    """A whole `maps` object: objects are walked, arrays become objects, leaves are values.

    A pipe in place of the whole gives whatever it yields, be it an object or not; the type says
    what a map should be.

    Raises:
        MappingError: As for `compile_value`; also a null leaf, and anything but an object or array
            at the top.
    """
    if not isinstance(maps, (dict, list)):
        raise MappingError("maps are an object of keys and values", where=path)
    return _counted(_compile_tree(maps, Place(path)))


def references(rule: Any) -> list[tuple[str, ...]]:
    """Every reference in a rule, as its keys, in order and without repeats.

    Rule may be a value, a map, a pipe or a condition. Cells of nested pipes and reduces count; the
    variables of a reduce do not, since they name nothing in the context, and neither do literal
    cells and what stands beside `@pipe`.
    """
    found: dict[tuple[str, ...], None] = {}
    _collect(rule, found)
    return list(found)


def _collect(rule: Any, found: dict[tuple[str, ...], None], depth: int = 0) -> None:
    if depth > 2 * NESTING_MAX:
        raise MappingError(f"the rule is nested deeper than {NESTING_MAX} levels")
    if isinstance(rule, str):
        if is_reference(rule) and not is_variable(rule):
            found[segments(rule)] = None
    elif is_pipe(rule):
        _collect_rows(rule["@pipe"], found, depth + 1)
    elif isinstance(rule, (dict, list)):
        for value in rule.values() if isinstance(rule, dict) else rule:
            _collect(value, found, depth + 1)


def _collect_rows(rows: Any, found: dict[tuple[str, ...], None], depth: int) -> None:
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict):
            nested = row.get("@pipe", row.get("@reduce"))
            _collect({"@pipe": nested}, found, depth + 1)
        elif isinstance(row, list):
            for cell in row:
                if isinstance(cell, str):
                    _collect(cell, found, depth)


def _counted(cell: Cell) -> Closure:
    """Begin the count of steps anew with every rule, so that an `Env` may serve many of them."""
    run = cell.run
    if cell.inert:
        return run

    def counted(context: Any, env: Env) -> Any:
        env.steps = 0
        return run(context, env)

    return counted


def _compile_tree(rule: Any, place: Place) -> Cell:
    if is_pipe(rule):
        return compile_pipe(rule["@pipe"], place)
    if isinstance(rule, dict):
        return _compile_members({property_key(key): value for key, value in rule.items()}, place)
    if isinstance(rule, (list, tuple)):
        return _compile_members({str(index): value for index, value in enumerate(rule)}, place)
    if rule is None:
        raise MappingError("null can't stand in a map; write {@symbol.null}", where=place.where)
    if isinstance(rule, Date):
        return _compile_members({}, place)
    return compile_cell(rule, place)


def _compile_members(members: dict[str, Any], place: Place) -> Cell:
    """An object whose constant members are laid out beforehand and whose others are filled in."""
    cells = {
        key: _compile_tree(members[key], _member_place(place, key))
        for key in ordered(list(members))
    }
    layout = {key: cell.value if cell.constant else UNDEFINED for key, cell in cells.items()}
    moving = [(key, cell.run) for key, cell in cells.items() if not cell.constant]
    inert = all(cell.inert for cell in cells.values())
    if len(moving) == 1:
        return Cell(_fill_one(layout, *moving[0]), inert)

    def fill(context: Any, env: Env) -> dict[str, Any]:
        result = layout.copy()
        for key, run in moving:
            result[key] = run(context, env)
        return result

    return Cell(fill, inert)


def _fill_one(layout: dict[str, Any], only: str, run: Closure) -> Closure:
    def fill(context: Any, env: Env) -> dict[str, Any]:
        result = layout.copy()
        result[only] = run(context, env)
        return result

    return fill


def _member_place(place: Place, key: str) -> Place:
    """Maps are places in the model, so their keys are joined to the path as the loader does it."""
    inner = place.inside(key)
    where = f"{place.where}.{key}" if place.where else key
    return Place(where, inner.in_reduce, inner.depth)

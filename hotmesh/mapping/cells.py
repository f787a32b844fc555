"""Cells: a literal, a reference, or a function without arguments → a closure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from hotmesh.errors import MappingError
from hotmesh.mapping.calls import Cell, compile_call, constant, is_function
from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript import UNDEFINED, Date, copied, property_key
from hotmesh.mapping.paths import (
    compile_reference,
    compile_variable,
    is_reference,
    is_variable,
    segments,
)

NESTING_MAX: Final = 32
"""Levels of maps, pipes, reduces and literal cells in one rule: as deep as structured input may be
at all.
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a rule the compiler is.

    Attributes:
        where: The place as errors show it.
        in_reduce: Whether a reduce's variables are set there.
        depth: How deeply nested it is.
    """

    where: str
    in_reduce: bool = False
    depth: int = 0

    def inside(self, part: str, *, in_reduce: bool | None = None) -> Place:
        """The place of a part; `MappingError` when the rule is nested too deeply."""
        if self.depth >= NESTING_MAX:
            raise MappingError(
                f"the rule is nested deeper than {NESTING_MAX} levels", where=self.where
            )
        where = f"{self.where}, {part}" if self.where else part
        return replace(
            self,
            where=where,
            depth=self.depth + 1,
            in_reduce=self.in_reduce if in_reduce is None else in_reduce,
        )


def compile_cell(cell: Any, place: Place) -> Cell:
    """A cell on its own: what stands in it if it is not text, else what the text says."""
    if isinstance(cell, str):
        if is_variable(cell):
            if not place.in_reduce:
                return constant(UNDEFINED)
            return Cell(compile_variable(segments(cell)), inert=True)
        if is_reference(cell):
            return Cell(compile_reference(segments(cell)), inert=True)
        if is_function(cell):
            return compile_call(cell, [], place.where)
        return constant(cell)
    if isinstance(cell, (list, dict, tuple, Date)):
        return _literal(_own(cell, place))
    return constant(cell)


def _own(value: Any, place: Place) -> Any:
    """The compiler's own copy of a literal, keys as text: the caller may change the rule later."""
    if isinstance(value, Date):
        return copied(value)
    if isinstance(value, (list, tuple)):
        inner = place.inside("a literal")
        return [_own(item, inner) for item in value]
    if isinstance(value, dict):
        inner = place.inside("a literal")
        return {property_key(key): _own(item, inner) for key, item in value.items()}
    return value


def _literal(own: Any) -> Cell:
    """A literal that functions could change in place is handed out as a new copy every time."""
    members = own.values() if isinstance(own, dict) else own if isinstance(own, list) else [own]
    if any(isinstance(member, (list, dict, Date)) for member in members):

        def copy_deep(context: Any, env: Env) -> Any:
            return copied(own)

        return Cell(copy_deep, inert=True)

    def copy_flat(context: Any, env: Env) -> Any:
        return own.copy()

    return Cell(copy_flat, inert=True)

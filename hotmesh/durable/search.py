"""The fields of a run: `set get mget delete incr mult`, each applied once over all replays.

A field is text in the run's record, under its name with a `_` in front; numbers, booleans and None
are written as JSON writes them, and text that would read as one of these is quoted, so that what
was set is what is read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hotmesh.durable.errors import FieldTypeError
from hotmesh.durable.run_asks import search

if TYPE_CHECKING:
    from hotmesh.durable.run import Run
    from hotmesh.durable.steps import Step

Field = str | int | float | bool | None


class Search:
    """A session on the fields of the run whose code made it."""

    __slots__ = ("_run",)

    def __init__(self, run: Run) -> None:
        self._run = run

    def set(self, *pairs: Any, **fields: Field) -> Step[None]:
        """Set fields: by keyword, as `name, value, name, value`, or as one mapping.

        It takes effect with the step that follows, together with it or not at all.
        """
        return search(self._run, (("set", *_flat(pairs, fields)),), None)

    def get(self, name: str) -> Step[Any]:
        """The value of a field; None for one that is not set."""
        return search(self._run, (("get", f"_{name}"),), lambda values: read(values[0]))

    def mget(self, *names: str) -> Step[list[Any]]:
        """The values of fields, in the order of the names."""
        op = ("mget", *(f"_{n}" for n in names))
        return search(self._run, (op,), lambda values: [read(v) for v in values[0]])

    def delete(self, *names: str) -> Step[int]:
        """Delete fields; how many there were."""
        op = ("delete", *(f"_{n}" for n in names))
        return search(self._run, (op,), lambda values: int(values[0]))

    def incr(self, name: str, by: float = 1) -> Step[Any]:
        """Add to a number (0 when it is not set); the sum.

        Raises:
            FieldTypeError: (when awaited) The field holds no number.
        """
        op = ("incr", f"_{name}", _number(by))
        return search(self._run, (op,), lambda values: read(values[0]))

    def mult(self, name: str, by: float) -> Step[Any]:
        """Multiply a number (1 when it is not set); the product.

        Raises:
            FieldTypeError: (when awaited) The field holds no number.
        """
        op = ("mult", f"_{name}", _number(by))
        return search(self._run, (op,), lambda values: read(values[0]))


def write(value: Any) -> str:
    """A value as the field holds it.

    Raises:
        FieldTypeError: It is none of text, number, boolean and None.
    """
    if isinstance(value, str):
        return json.dumps(value) if _reads_as_json(value) else value
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e17 else f"{value:.17g}"
    raise FieldTypeError(
        f"a field holds text, a number, a boolean or None, not {type(value).__name__}"
    )


def read(raw: Any) -> Any:
    """The value of a field."""
    if raw is None or raw is False:
        return None
    text = raw.decode() if isinstance(raw, bytes) else raw
    if not _reads_as_json(text):
        return text
    return json.loads(text)


def _reads_as_json(text: str) -> bool:
    if text[:1] not in '"-0123456789tfn' or not text:
        return False
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return not isinstance(value, (dict, list))


def _flat(pairs: tuple[Any, ...], fields: dict[str, Field]) -> list[str]:
    given: dict[str, Any] = dict(fields)
    if len(pairs) == 1 and isinstance(pairs[0], dict):
        given = {**pairs[0], **given}
    elif pairs:
        if len(pairs) % 2:
            raise FieldTypeError("set() takes names and values in turn; one is left over")
        given = {**dict(zip(pairs[::2], pairs[1::2], strict=True)), **given}
    if not given:
        raise FieldTypeError("set() was given nothing to set")
    return [text for name, value in given.items() for text in (f"_{name}", write(value))]


def _number(by: float) -> str:
    if (
        isinstance(by, bool)
        or not isinstance(by, (int, float))
        or by != by
        or abs(by) == float("inf")
    ):
        raise FieldTypeError(f"{by!r} is no number")
    return write(by)

"""Examples of what durable runs store and send: every field filled by its type and its place."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hotmesh import run_messages
from hotmesh.core.durable import records

DATA = Raw(msgspec.msgpack.encode({"a": [1, "x", None]}))
NESTED = {
    records.Failure: records.Failure("timeout", "too slow", "START_TO_CLOSE", 596),
    records.Parent: records.Parent("parent-1", "run-0", 2, "terminate"),
    run_messages.CallRules: run_messages.CallRules(3, 10, 1.5, 999, ("KeyError",), 5, 6, 7, 0.5),
    run_messages.Call: run_messages.Call("j1", "run-1", 4, "act", "q", "q2", DATA),
}


def structs() -> dict[str, type[Struct]]:
    """Everything that `run_messages` and `records` define."""
    return {
        f"durable.{name}": kind
        for module in (run_messages, records)
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and issubclass(kind, Struct)
        and kind.__module__ == module.__name__
        and not name.startswith("_")
    }


def filled(kind: type[Struct]) -> Any:
    """One with something in every field."""
    types = typing.get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    return kind(**{f.name: _value(types[f.name], f.default, i) for i, f in enumerate(fields)})


def _value(type_: Any, default: Any, at: int) -> Any:
    origin, args = typing.get_origin(type_), typing.get_args(type_)
    kind = next((k for k in NESTED if k is type_ or k in args), None)
    if kind is not None and origin is not tuple:
        return NESTED[kind]
    if type_ is bool:
        return default is not True
    if type_ is int:
        return 100 + at
    if type_ is float:
        return at + 0.25
    if type_ is str:
        return f"text-{at}"
    if type_ is bytes:
        return f"bytes-{at}".encode()
    if type_ is Raw:
        return DATA
    if type_ is Any:
        return {"any": at}
    if origin is typing.Literal:
        return next(a for a in args if a != default)
    if origin is dict:
        return {"key": DATA if args[1] is Raw else f"text-{at}"}
    return _composed(type_)


def _composed(type_: Any) -> Any:
    values = {
        tuple[str, ...]: ("x", "y"),
        tuple[bytes, ...]: (b"x", b"y"),
        tuple[int, ...]: (1, 2),
        tuple[tuple[str, ...], ...]: (("set", "a", "1"), ("incr", "b", "2")),
        tuple[str, str, int] | None: ("j0", "run-0", 5),
        tuple[int | records.Answer, ...]: (3, records.Answer(4, 1, DATA)),
        tuple[records.Command, ...]: (records.Timer(1, 5), records.Complete(DATA)),
    }
    return values[type_]


EXAMPLES: dict[str, Struct] = {name: filled(kind) for name, kind in structs().items()}

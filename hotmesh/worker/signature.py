"""What a handler takes: the whole message, or its data as a type of its own, validated and
converted.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import msgspec

from hotmesh.errors import PayloadInvalid, SettingsInvalid
from hotmesh.messages import StreamData

Handler: TypeAlias = Callable[[Any], Awaitable[Any] | Any]
Convert: TypeAlias = Callable[[StreamData], Any]

VALIDATION_CODE = 422


class InputInvalid(PayloadInvalid):
    """A payload does not fit the type that a handler asks for."""

    code = VALIDATION_CODE


def convert_for(handler: Handler) -> Convert:
    """How to make a handler's argument from a message.

    An argument without a type, or typed `StreamData`, gets the whole message; `dict` and `Any` get
    the data as it is; a `msgspec.Struct`, dataclass, TypedDict or pydantic model gets the data
    converted.

    Raises:
        SettingsInvalid: The handler does not take exactly one argument.
    """
    name = getattr(handler, "__qualname__", repr(handler))
    parameters = [
        p
        for p in inspect.signature(handler).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    required = [p for p in parameters if p.default is p.empty]
    if not parameters or len(required) > 1:
        raise SettingsInvalid(
            f"a handler takes one argument, the message or its data; {name} takes {len(required)}"
        )
    wanted = _annotation(handler, parameters[0])
    if wanted is inspect.Parameter.empty or wanted is StreamData:
        return lambda message: message
    if wanted is Any or wanted is dict or typing.get_origin(wanted) is dict:
        return lambda message: message.data
    validate = getattr(wanted, "model_validate", None)
    if callable(validate):
        return _pydantic(validate, name)
    return _msgspec(wanted, name)


def _annotation(handler: Handler, parameter: inspect.Parameter) -> Any:
    target = handler if inspect.isroutine(handler) else type(handler).__call__
    try:
        return typing.get_type_hints(target).get(parameter.name, parameter.annotation)
    except NameError as exc:
        raise SettingsInvalid(
            f"the annotation {parameter.annotation!r} of {target.__qualname__} names "
            f"nothing known at module level: {exc}"
        ) from exc


def _msgspec(wanted: Any, name: str) -> Convert:
    def convert(message: StreamData) -> Any:
        try:
            return msgspec.convert(message.data, wanted)
        except msgspec.ValidationError as exc:
            text, _, field = str(exc).partition(" - at `")
            field = field.rstrip("`") or "$"
            raise InputInvalid(f"{field}: {text} (asked for by {name})", field=field) from exc

    return convert


def _pydantic(validate: Callable[[Any], Any], name: str) -> Convert:
    def convert(message: StreamData) -> Any:
        try:
            return validate(message.data)
        except ValueError as exc:  # pydantic.ValidationError is one
            faults: list[dict[str, Any]] = getattr(exc, "errors", list)()
            told = [
                (".".join(str(p) for p in f.get("loc", ())), f.get("msg", "")) for f in faults
            ] or [("$", type(exc).__name__)]
            text = "; ".join(f"{field}: {message}" for field, message in told)
            raise InputInvalid(f"{text} (asked for by {name})", field=told[0][0]) from exc

    return convert

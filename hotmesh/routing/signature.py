"""What a handler takes: the value as a type of its own, and the delivery if it asks for it."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeAlias

from msgspec import Struct

from hotmesh.errors import SettingsInvalid
from hotmesh.routing.delivery import Delivery

Handler: TypeAlias = Callable[..., Any]

CONTEXT_NAMES = ("ctx", "delivery")
"""Parameters without a type that get the delivery."""


class Signature(Struct, frozen=True):
    """How to call a handler.

    Attributes:
        name: For messages and logs.
        wanted: The type of the value; Any where the handler does not say.
        takes_value, takes_delivery: What it asks for.
        is_async: Whether it is a coroutine function; others run in a thread.
        context_first: Whether the delivery is the first argument.
    """

    name: str
    wanted: Any
    takes_value: bool
    takes_delivery: bool
    is_async: bool
    context_first: bool = False


def signature_of(handler: Handler) -> Signature:
    """Read a handler's parameters.

    Raises:
        SettingsInvalid: It takes something else than a value, a delivery, or both.
    """
    if not callable(handler):
        raise SettingsInvalid(f"a handler is a function, not {type(handler).__name__}")
    target = handler if inspect.isroutine(handler) else type(handler).__call__
    name = getattr(handler, "__qualname__", type(handler).__name__)
    parameters = [
        p
        for p in inspect.signature(handler).parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    hints = _hints(target)
    contexts = [p for p in parameters if _is_context(p, hints)]
    values = [p for p in parameters if p not in contexts and p.default is p.empty]
    if len(contexts) > 1 or len(values) > 1 or not (contexts or values):
        raise SettingsInvalid(
            f"a handler takes a value, a hotmesh.Delivery or both; {name} takes "
            f"({', '.join(p.name for p in parameters)})"
        )
    wanted = hints.get(values[0].name, Any) if values else Any
    return Signature(
        name,
        wanted,
        bool(values),
        bool(contexts),
        inspect.iscoroutinefunction(target),
        bool(contexts) and parameters[0] is contexts[0],
    )


def call_of(signature: Signature, handler: Handler) -> Callable[[Any, Delivery], Any]:
    """The handler as a function of value and delivery."""
    if not signature.takes_delivery:
        return lambda value, delivery: handler(value)
    if not signature.takes_value:
        return lambda value, delivery: handler(delivery)
    if signature.context_first:
        return lambda value, delivery: handler(delivery, value)
    return handler


def _is_context(parameter: inspect.Parameter, hints: dict[str, Any]) -> bool:
    hint = hints.get(parameter.name)
    return hint is Delivery or (hint is None and parameter.name in CONTEXT_NAMES)


def _hints(target: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target)
    except NameError as exc:
        raise SettingsInvalid(
            f"an annotation of {getattr(target, '__qualname__', target)} names nothing known at "
            f"module level: {exc}"
        ) from exc

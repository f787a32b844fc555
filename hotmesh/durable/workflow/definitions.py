"""Marks of workflows and of their handlers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar, overload

from hotmesh.durable.definition import (
    HANDLER_MARK,
    MARK,
    RUN_MARK,
    HandlerOptions,
    WorkflowOptions,
)
from hotmesh.durable.options import RetryPolicy

F = TypeVar("F", bound=Callable[..., Any])


@overload
def defn(target: F, /) -> F: ...


@overload
def defn(
    *,
    name: str | None = None,
    task_queue: str | None = None,
    retry: RetryPolicy | None = None,
    suspend_on: Sequence[type[BaseException]] = (),
    strict_tasks: bool = False,
    on_nondeterminism: Literal["suspend", "fail"] = "suspend",
    strict_args: bool = False,
    versioning: Literal["auto", "pinned"] = "auto",
) -> Callable[[F], F]: ...


def defn(target: Any = None, /, **options: Any) -> Any:
    """Mark a function or a class as a workflow, with options.

    A function needs no mark when it has none. The options are those of `WorkflowOptions`.
    """
    if "suspend_on" in options:
        options["suspend_on"] = tuple(options["suspend_on"])

    def mark(marked: F) -> F:
        setattr(marked, MARK, WorkflowOptions(**options))
        return marked

    return mark if target is None else mark(target)


def run(fn: F) -> F:
    """The method of a workflow class that is the workflow."""
    setattr(fn, RUN_MARK, True)
    return fn


PROGRAMMING_ERRORS = (TypeError, AttributeError, NameError, LookupError, AssertionError)
"""For `suspend_on`: mistakes of the code, which a new version may mend under running workflows."""


def query(target: Any = None, /, **options: Any) -> Any:
    """Mark a method (a plain function, which only reads) as a query handler."""
    return handler("query", target, options)


def update(target: Any = None, /, **options: Any) -> Any:
    """Mark a method as an update handler: a request that is answered.

    `@handler.validator` on another method refuses updates before they are recorded.
    """
    return handler("update", target, options)


def handler(kind: Any, target: Any, options: dict[str, Any]) -> Any:
    """Mark a function as a handler, at once or as a decorator."""
    name = options.pop("name", None)

    def mark(fn: Any) -> Any:
        chosen = fn.__name__ if name is None else name
        setattr(fn, HANDLER_MARK, HandlerOptions(kind=kind, name=chosen, **options))
        if kind == "update":

            def validator(check: Any) -> Any:
                fn.__hotmesh_validator__ = check
                return check

            fn.validator = validator
        return fn

    return mark if target is None else mark(target)

"""What may be asked of a run in memory: its query handlers, and what every run answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Raw

if TYPE_CHECKING:
    from hotmesh.durable.interceptors import Call
    from hotmesh.durable.run import Run


def query(run: Run, name: str, args: bytes | Raw) -> Any:
    """Ask a query handler; the value.

    Raises:
        LookupError: There is none of that name.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name](run)
    handler = run.handlers.get(("query", name)) or run.handlers.get(("query", ""))
    if handler is None:
        known = sorted(n for kind, n in run.handlers if kind == "query")
        raise LookupError(
            f"workflow {run.definition.name!r} has no query {name!r}; it has "
            f"{', '.join(known) or 'none'}"
        )
    values = handler.signature.args(args)
    if not handler.options.name:
        values = [name, *values]
    if run.interceptors is not None and "handle_query" in run.interceptors:
        asked = run.call(name, values, {})
        return read_by(run, "handle_query", asked, handler.fn, f"query {name!r}")
    return read(run, handler.fn, values, f"query {name!r}")


def read(run: Run, fn: Callable[..., Any], args: Sequence[Any], what: str) -> Any:
    return _reading(run, what, fn, *_bound(run, fn), *args)


def read_by(run: Run, method: str, call: Call, fn: Callable[..., Any], what: str) -> Any:
    """The same through interceptors."""
    assert run.interceptors is not None
    bound = _bound(run, fn)
    return _reading(run, what, run.interceptors, method, call, lambda c: fn(*bound, *c.args))


def _bound(run: Run, fn: Callable[..., Any]) -> tuple[Any, ...]:
    method = run.instance is not None and hasattr(type(run.instance), getattr(fn, "__name__", ""))
    return (run.instance,) if method else ()


def _reading(run: Run, what: str, fn: Callable[..., Any], *args: Any) -> Any:
    run.read_only = what
    try:
        return run.loop.call_inside(fn, *args)
    finally:
        run.read_only = ""


def _stack(run: Run) -> str:
    return run.loop.stacks()


def _handlers(run: Run) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"signal": [], "query": [], "update": []}
    for kind, name in sorted(run.handlers):
        found[kind].append(name)
    return found


def _state(run: Run) -> dict[str, Any]:
    return {
        "steps": [
            {"step": s.seq, "kind": s.kind, "name": s.name}
            for seq, s in run.steps.items()
            if seq > 0
        ],
        "timers": len(run.timers),
        "signals": {name: len(box) for name, box in run.mailbox.items()},
        "cancel_requested": run.cancel_requested,
    }


_BUILT_IN: dict[str, Callable[[Run], Any]] = {
    "__stack": _stack,
    "__state": _state,
    "__handlers": _handlers,
}


# -- divergence

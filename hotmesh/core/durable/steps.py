"""A run as pictures see it: its steps as legs, and what led to what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from hotmesh.core.durable.events import Event
from hotmesh.pictures import Leg, LegEdge

_OPENS = {
    "ACT": ("worker", "name"),
    "TIMER": ("hook", ""),
    "WAIT": ("hook", "name"),
    "CHILD": ("await", "type"),
    "SIGEXT": ("signal", "name"),
    "CANEXT": ("interrupt", "target"),
    "HOOKEXT": ("signal", "name"),
    "SIDE": ("worker", "name"),
    "SEARCH": ("worker", ""),
}
_WORDS = {"TIMER": "sleep", "WAIT": "signal", "SIDE": "once", "SEARCH": "search"}
_CLOSES = frozenset(
    {
        "ACT_DONE",
        "ACT_FAIL",
        "ACT_TIMEOUT",
        "ACT_CANCELED",
        "LOCAL",
        "TIMER_FIRED",
        "TIMER_CANCEL",
        "WAIT_CANCEL",
        "CHILD_REJECTED",
        "CHILD_DONE",
        "CHILD_FAIL",
        "CHILD_CANCELED",
        "CHILD_TIMEOUT",
        "CHILD_TERMINATED",
        "SIGEXT_DONE",
        "SIGEXT_FAIL",
        "CANEXT_DONE",
        "CANEXT_FAIL",
        "HOOKEXT_DONE",
        "HOOKEXT_FAIL",
        "SEARCH_DONE",
    }
)
_ENDS = frozenset(
    {
        "COMPLETE",
        "FAIL",
        "CANCELED",
        "CONTINUE",
        "TERMINATED",
        "TIMED_OUT",
    }
)
_AT_ONCE = frozenset({"SIDE"})


class Steps(Struct, frozen=True):
    """The legs of a run, and the edges between them."""

    legs: tuple[Leg, ...]
    edges: tuple[LegEdge, ...]


class _Open(Struct):
    name: str
    type: str
    began_ms: int
    changed_ms: int
    state: str = "open"
    code: int = 0
    attempt: int = 0
    error: Any = None


def steps_of(events: Sequence[Event], *, apart: bool = False) -> Steps:
    """The steps of a run, its own as the first.

    Args:
        apart: Give each step a name of its own, as graphs need it; by default calls of one
            activity share one.
    """
    found: dict[int, _Open] = {}
    updates: dict[str, int] = {}
    edges: list[tuple[int, int]] = []
    by_id: dict[int, int] = {}
    led: list[int] = [0]
    extra = -1  # signals, hooks and updates are no steps: they are numbered downwards
    waiting = {e.fields["name"] for e in events if e.kind == "WAIT"}
    for event in events:
        kind, seq, fields = event.kind, event.seq or 0, event.fields
        if kind == "START":
            found[0] = _Open(fields["type"], "trigger", event.ts, event.ts)
        elif kind == "TASK":
            led = [by_id[i] for i in fields["ins"] if i in by_id] or led
        elif kind in _OPENS and seq not in found:
            found[seq] = _opened(event)
            edges += [(source, seq) for source in led if source != seq]
        elif kind in _CLOSES:
            by_id[event.id] = seq
            if seq in found and found[seq].state == "open":
                _close(found[seq], event)
        elif kind in ("SIGNAL", "HOOK") and fields["name"] not in waiting:
            found[extra] = _Open(f"{kind.lower()} {fields['name']}", "signal", event.ts, event.ts)
            _close(found[extra], event)
            by_id[event.id], extra = extra, extra - 1
        elif kind == "SIGNAL":
            _hear(found, by_id, event)
        elif kind == "UPD_ACCEPT":
            found[extra] = _Open(f"update {fields['name']}", "hook", event.ts, event.ts)
            updates[fields["id"]], extra = extra, extra - 1
        elif kind in ("UPD_DONE", "UPD_FAIL") and fields["id"] in updates:
            _close(found[updates[fields["id"]]], event)
        elif kind in _ENDS:
            _end(found, event)
        if kind == "START":
            by_id[event.id] = 0
    names = {key: _name(key, leg.name, apart=apart) for key, leg in found.items()}
    legs = tuple(_leg(names[key], leg) for key, leg in found.items())
    drawn = (LegEdge(source=names[a], target=names[b]) for a, b in dict.fromkeys(edges))
    return Steps(legs, tuple(drawn))


def _opened(event: Event) -> _Open:
    type_, named = _OPENS[event.kind]
    name = str(event.fields.get(named) or "") if named else ""
    words = _WORDS.get(event.kind, "")
    leg = _Open(f"{words} {name}".strip() or event.kind.lower(), type_, event.ts, event.ts)
    if event.kind in _AT_ONCE:
        _close(leg, event)
    return leg


def _close(leg: _Open, event: Event) -> None:
    failure = event.fields.get("failure")
    leg.state, leg.changed_ms, leg.error = "done", event.ts, failure
    leg.code = failure["code"] if failure else 200
    leg.attempt = max(0, int(event.fields.get("attempt", 1)) - 1)


def _hear(found: dict[int, _Open], by_id: dict[int, int], event: Event) -> None:
    """A signal ends the wait that it met, or the first of its name."""
    name = f"signal {event.fields['name']}"
    seqs = [event.seq] if event.seq else [s for s, leg in found.items() if leg.name == name]
    for seq in seqs:
        if seq in found and found[seq].state == "open":
            _close(found[seq], event)
            by_id[event.id] = seq
            return


def _end(found: dict[int, _Open], event: Event) -> None:
    """Nothing is open in a run that has ended."""
    failed = event.kind not in ("COMPLETE", "CONTINUE")
    for key, leg in found.items():
        if leg.state == "open":
            leg.state, leg.changed_ms = "done", event.ts
            leg.code = 200 if key or not failed else 500
    if failed and 0 in found:
        found[0].error = event.fields.get("failure") or {"message": event.fields.get("reason", "")}
        found[0].code = (event.fields.get("failure") or {}).get("code", 410)


def _name(key: int, name: str, *, apart: bool) -> str:
    return f"{name} {abs(key)}" if apart and key else name


def _leg(name: str, leg: _Open) -> Leg:
    return Leg(
        activity=name,
        type=leg.type,
        state=leg.state,
        began_ms=leg.began_ms,
        changed_ms=max(leg.changed_ms, leg.began_ms),
        code=leg.code,
        attempt=leg.attempt,
        error=leg.error,
    )

"""What a history says without running any code: what is still open, and what a run is found by."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from hotmesh.core.durable import records as r


class LeftOpen(Struct, frozen=True):
    """What a run has under way."""

    children: tuple[r.Child, ...]
    timers: tuple[int, ...]
    waits: tuple[tuple[int, str], ...]
    acts: tuple[r.Act, ...]


def left_open(items: Sequence[r.Item]) -> LeftOpen:
    """What a history has begun and not ended."""
    children: dict[int, r.Child] = {}
    timers: dict[int, None] = {}
    waits: dict[int, str] = {}
    acts: dict[int, r.Act] = {}
    for item in items:
        if isinstance(item, r.Turn):
            for answer in item.ins:
                if not isinstance(answer, int):
                    acts.pop(answer.seq, None)
            _order(item.commands, children, timers, waits, acts)
        elif isinstance(item, r.Answer):
            acts.pop(item.seq, None)
        elif isinstance(item, r.Fired):
            timers.pop(item.seq, None)
        elif isinstance(item, r.Sent):
            waits.pop(item.seq, None)
        elif isinstance(item, r.ChildEnded) or (
            isinstance(item, r.ChildBegan) and item.failure is not None
        ):
            children.pop(item.seq, None)
    return LeftOpen(
        tuple(children.values()), tuple(timers), tuple(waits.items()), tuple(acts.values())
    )


def _order(
    commands: Iterable[r.Command],
    children: dict[int, r.Child],
    timers: dict[int, None],
    waits: dict[int, str],
    acts: dict[int, r.Act],
) -> None:
    for command in commands:
        match command:
            case r.Child():
                children[command.seq] = command
            case r.Timer():
                timers[command.seq] = None
            case r.TimerCancel():
                timers.pop(command.seq, None)
            case r.Wait():
                waits[command.seq] = command.name
            case r.WaitCancel():
                waits.pop(command.seq, None)
            case r.Act():
                acts[command.seq] = command
            case r.ActCancel():
                if not command.waits:
                    acts.pop(command.seq, None)
            case _:
                pass


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def index_entries(attributes: Raw, at_ms: int) -> list[tuple[str, str]]:
    """The indexes that search attributes put a run into, with its score: its start."""
    values: dict[str, Any] | None = msgspec.msgpack.decode(attributes)
    return [(name, str(at_ms)) for name in index_names(values or {})]


def attributes_of(items: Sequence[r.Item]) -> dict[str, Any]:
    """The search attributes of a run, as its history left them."""
    values: dict[str, Any] = {}
    for item in items:
        changes = [item.attributes] if isinstance(item, r.Begin) else []
        if isinstance(item, r.Turn):
            changes = [c.data for c in item.commands if isinstance(c, r.Attributes)]
        for change in changes:
            values |= msgspec.msgpack.decode(change) or {}
    return {name: value for name, value in values.items() if value is not None}


def index_names(values: dict[str, Any]) -> list[str]:
    """Index names of attributes: one per value, for lists one per element."""
    names = []
    for name, value in values.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            names += [] if one is None else [f"a:{name}={text_of(one)}"]
    return names


def is_attribute_name(name: str) -> bool:
    """Whether a name may be that of a search attribute."""
    return _NAME.fullmatch(name) is not None


def text_of(value: Any) -> str:
    """A value as indexes hold it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)

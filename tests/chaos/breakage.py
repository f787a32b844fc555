"""Known-bad variants of the engine, for the checker's own test: each must be caught.

They are patched into the role processes and exist nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from hotmesh.engine import Engine
from hotmesh.store import Apply, New, Store, Verdict

WINDOW_S = 0.05


def acknowledge_first() -> None:
    """Entries are acknowledged before their effects are applied: a kill in between loses them."""
    inner = Engine.handle

    async def handle(self: Engine, arrivals: Sequence[Any]) -> Any:
        await self._acknowledge([a for a in arrivals if not a.consumer], [])
        await asyncio.sleep(WINDOW_S)
        return await inner(self, arrivals)

    Engine.handle = handle  # type: ignore[method-assign]


def ignore_stale() -> None:
    """A transition that was decided on an old revision counts as applied, and is acknowledged."""
    inner = Store.apply

    async def apply(self: Store, batch: Sequence[Apply | New]) -> list[Verdict]:
        verdicts = await inner(self, batch)
        for i, item in enumerate(batch):
            if verdicts[i] is Verdict.STALE and isinstance(item, Apply) and item.entries:
                await self.acknowledge(item.entries)
                verdicts[i] = Verdict.APPLIED
        return verdicts

    Store.apply = apply  # type: ignore[method-assign]


def guard_late() -> None:
    """The revision that the script compares is read when the transition is applied, not when it
    is decided: the guard always holds, on whatever state.
    """
    inner = Store.apply

    async def apply(self: Store, batch: Sequence[Apply | New]) -> list[Verdict]:
        current = []
        for item in batch:
            if isinstance(item, Apply) and item.rev:
                key = self.keys.of(item.jid).job(item.jid)
                rev = await self.transport.execute("HGET", key, "r")
                item = msgspec.structs.replace(item, rev=int(rev or 0))
            current.append(item)
        return await inner(self, current)

    Store.apply = apply  # type: ignore[method-assign]


VARIANTS = {f.__name__: f for f in (acknowledge_first, ignore_stale, guard_late)}


def apply(name: str) -> None:
    """Break this process in one way."""
    VARIANTS[name]()

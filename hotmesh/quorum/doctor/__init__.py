"""`examine`: is the server fit, is the fleet well, what can a crash lose, what is to be done."""

from __future__ import annotations

import time
from typing import Any

from hotmesh.connect import Connection
from hotmesh.connect.server import parse_info
from hotmesh.quorum.doctor.app import check_app
from hotmesh.quorum.doctor.fleet import check_fleet
from hotmesh.quorum.doctor.server import CONFIGS, check_server
from hotmesh.quorum.doctor.verdict import TO_DO, Level, Verdict
from hotmesh.quorum.duties import Duties
from hotmesh.quorum.process import offset_ms
from hotmesh.quorum.snapshot import take
from hotmesh.store import Plans, Store

__all__ = ["TO_DO", "Level", "Verdict", "examine"]


async def examine(
    connection: Connection, store: Store, *, backlog_max: int, timeout_s: float = 1.0
) -> list[Verdict]:
    """Look at everything once; nothing is changed.

    Args:
        backlog_max: Entries of a worker stream above which starts are refused, 0 for no bound.
        timeout_s: How long members may take to answer.

    Raises:
        ServerUnavailable: There is nothing to examine.
    """
    plans = Plans(store)
    topics = await Duties(store, plans).topics()
    snapshot = await take(connection, store, topics, timeout_s=timeout_s)
    topics |= {topic for m in snapshot.members for topic in m.topics}
    verdicts = await _server(store)
    verdicts += check_fleet(
        snapshot.members,
        snapshot.flows,
        snapshot.throttles,
        dead_letters=snapshot.dead_letters,
        backlog_max=backlog_max,
    )
    return verdicts + await check_app(store, plans, topics)


async def _server(store: Store) -> list[Verdict]:
    commands: list[tuple[Any, ...]] = [("INFO",), ("COMMAND", "INFO", "XAUTOCLAIM")]
    commands += [("CONFIG", "GET", name) for name in CONFIGS]
    info, known, *configs = await store.transport.execute_many(commands)
    before = time.monotonic()
    clock = await store.transport.execute("TIME")
    rtt_ms = (time.monotonic() - before) * 1000
    now_ms = store.clock.read(clock) - store.clock.skew_ms
    found = {
        name: reply[1].decode(errors="replace")
        for name, reply in zip(CONFIGS, configs, strict=True)
        if isinstance(reply, list) and len(reply) == 2
    }
    lacks = isinstance(known, list) and (not known or known[0] is None)
    return check_server(
        parse_info(info),
        found,
        has_autoclaim=not lacks,
        rtt_ms=rtt_ms,
        offset_ms=offset_ms(now_ms),
    )

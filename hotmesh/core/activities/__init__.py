"""Leg 1 of every activity type, by its name in the model.

(The trigger has its own way in: `core/start.py`.)
"""

from __future__ import annotations

from collections.abc import Callable

from hotmesh.compiler import Node
from hotmesh.core.activities import await_, cycle, hook, interrupt, signal, worker
from hotmesh.core.items import Send
from hotmesh.core.turn import Turn

ENTER: dict[str, Callable[[Turn, Node, str], None]] = {
    "await": await_.enter,
    "cycle": cycle.enter,
    "hook": hook.enter,
    "interrupt": interrupt.enter,
    "signal": signal.enter,
    "worker": worker.enter,
}

SEND: dict[str, Send] = {"await": await_.send, "worker": worker.send}
"""How the types that may run `each` item dispatch one."""

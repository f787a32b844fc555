"""Leg 1 of every activity type, by its name in the model."""

from __future__ import annotations

from collections.abc import Callable

from hotmesh.compiler import Node
from hotmesh.core.activities import await_, hook, worker
from hotmesh.core.turn import Turn

ENTER: dict[str, Callable[[Turn, Node, str], None]] = {
    "await": await_.enter,
    "hook": hook.enter,
    "worker": worker.enter,
}

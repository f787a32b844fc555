"""A run while it is advanced."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hotmesh.core import Note
from hotmesh.core.durable import records as r
from hotmesh.durable.attempts import Running
from hotmesh.durable.run import Run
from hotmesh.router import Delivery
from hotmesh.run_messages import RunQuery, RunTask

if TYPE_CHECKING:
    from hotmesh.durable.commit import Commit


class Active:
    """A run that is being advanced.

    Attributes:
        deliveries: The entries that are held for it; the first is settled by its commits.
        inputs: What came and was not taken yet: (index in the history, record).
        items, commands: Of turns that are not written yet.
        fused: Steps whose activities run here without an entry.
        refusals: Ends refused in a row.
    """

    __slots__ = (
        "answers",
        "commands",
        "deliveries",
        "extras",
        "fused",
        "inputs",
        "items",
        "local",
        "notes",
        "queries",
        "refusals",
        "run",
        "scheduled",
        "sending",
        "task",
    )

    def __init__(self, task: RunTask, delivery: Delivery, run: Run | None) -> None:
        self.task, self.deliveries, self.run = task, [delivery], run
        self.inputs: list[tuple[int, r.Input]] = []
        self.items: list[r.Turn] = []
        self.commands: list[r.Command] = []
        self.fused: dict[int, Running] = {}
        self.local: dict[int, Running] = {}
        self.answers: list[r.Answer] = []
        self.notes: list[Note] = []
        self.extras: list[Callable[[Commit], None]] = []
        self.sending = self.scheduled = False
        self.refusals = 0
        self.queries: list[tuple[Delivery, RunQuery]] = []

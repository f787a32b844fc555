"""The workers of a scenario in a process of their own: `hotmesh worker -A worker_process`.

`CONFORMANCE_SCENARIO` names it; `CONFORMANCE_CALLS` is a file that gets a line for each call.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
from runner import Actor, load  # noqa: E402

from hotmesh import HotMesh, StreamData, Worker  # noqa: E402


class ActorOfProcess(Actor):
    """Writes down how it was called, and has a client of its own for late answers."""

    async def handle(self, msg: StreamData) -> Any:
        if self.mesh is None and any("then" in b for b in self._behaviours):
            self.mesh = await HotMesh.init(
                os.environ["HOTMESH_APP"], engine=False, namespace=os.environ["HOTMESH_NAMESPACE"]
            )
        return await super().handle(msg)


class _Calls(list[dict[str, Any]]):
    """Calls, each written down at once: who is killed has told of what it began."""

    def __init__(self, topic: str) -> None:
        super().__init__()
        self._topic, self._file = topic, os.environ["CONFORMANCE_CALLS"]

    def append(self, call: dict[str, Any]) -> None:
        super().append(call)
        with open(self._file, "a") as file:
            file.write(json.dumps({"topic": self._topic, "call": call}) + "\n")


def _worker(topic: str, said: Any) -> Worker:
    actor = ActorOfProcess(topic, said)
    actor.calls = _Calls(topic)
    return Worker(topic, actor.handle)


_scenario = load(os.environ["CONFORMANCE_SCENARIO"])
workers = [_worker(topic, said) for topic, said in _scenario.workers.items()]

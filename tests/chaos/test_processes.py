"""The services as processes: the conformance set runs over them, each kind is killed, and
everything finishes.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "conformance"), str(TESTS / "integration")]
from runner import Mismatch, Player, Scenario, _play_step, _set_up, load, scenario_names  # noqa: E402
from test_cli_support import Running, Terminal  # noqa: E402
from test_models import BUGS  # noqa: E402

from hotmesh import HotMesh  # noqa: E402
from hotmesh.cli.main import COMMANDS  # noqa: E402

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

JOBS = 60
TOGETHER = 4
"""Kill an engine in every so many scenarios: a process takes a second to start."""


class Calls(Sequence[Any]):
    """The calls of a topic that have been written down by now."""

    def __init__(self, topic: str, file: Path) -> None:
        self._topic, self._file = topic, file

    def _read(self) -> list[Any]:
        if not self._file.exists():
            return []
        whole = self._file.read_text().rpartition("\n")[0]  # the last line may be half there
        lines = (json.loads(line) for line in whole.splitlines())
        return [line["call"] for line in lines if line["topic"] == self._topic]

    def __len__(self) -> int:
        return len(self._read())

    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]


class RemoteActor:
    """A worker elsewhere, as far as a script asks for it: how it was called."""

    def __init__(self, topic: str, file: Path) -> None:
        self.calls = Calls(topic, file)
        self.mesh: HotMesh | None = None


@pytest.fixture
def terminal(tmp_path: Path, redis_url: str) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path, cwd=TESTS / "conformance", HOTMESH_REDIS_URL=redis_url)
    yield terminal
    terminal.close()


@asynccontextmanager
async def fleet(
    terminal: Terminal, app_id: str, namespace: str, *commands: tuple[str, ...]
) -> AsyncIterator[tuple[HotMesh, list[Running]]]:
    """A client here, and processes of an app; all are ended."""
    terminal.environ |= {"HOTMESH_APP": app_id, "HOTMESH_NAMESPACE": namespace}
    running = [terminal.start(*command) for command in commands]
    for one in running:
        await asyncio.to_thread(one.until, "ready: ")
    url = terminal.environ["HOTMESH_REDIS_URL"]
    async with HotMesh.session(app_id, url, engine=False, namespace=namespace) as mesh:
        yield mesh, running


@pytest.mark.parametrize("number", range(len(scenario_names())))
async def test_a_scenario_over_processes_gives_what_was_recorded(
    terminal: Terminal, tmp_path: Path, number: int
) -> None:
    name = scenario_names()[number]
    if name in BUGS:
        pytest.skip(BUGS[name])
    scenario = load(name)
    kills = number % TOGETHER == 0
    calls = tmp_path / "calls"
    terminal.environ |= {"CONFORMANCE_SCENARIO": name, "CONFORMANCE_CALLS": str(calls)}
    commands = [("engine",)] * (2 if kills else 1)
    if scenario.workers:
        commands.append(("worker", "-A", "worker_process"))
    for attempt in range(2):
        namespace = f"p{secrets.token_hex(8)}"
        calls.unlink(missing_ok=True)
        async with fleet(terminal, scenario.app_id(), namespace, *commands) as (mesh, running):
            try:
                await _play(scenario, mesh, calls, running[0] if kills else None)
                return
            except Mismatch:
                if attempt:  # recorded waits are short, and this machine may be busy: once more
                    raise


async def _play(scenario: Scenario, mesh: HotMesh, calls: Path, victim: Running | None) -> None:
    actors = {topic: RemoteActor(topic, calls) for topic in scenario.workers}
    player = Player(mesh, actors)  # type: ignore[arg-type]  # of an actor it asks no more
    if scenario.setup:
        await _set_up(mesh, scenario)
    for number, step in enumerate(scenario.steps, 1):
        await _play_step(player, scenario, number, step)
        if victim is not None and number == 1:
            victim.signal(signal.SIGKILL)


MODEL = """
app:
  id: APP
  version: '1'
  graphs:
    - subscribes: order
      expire: 600
      activities:
        start: {type: trigger}
        first: {type: worker, topic: slow, input: {maps: {n: '{start.output.data.n}'}}}
        nap: {type: hook, sleep: 0.2}
        second:
          type: worker
          topic: slow
          input: {maps: {n: '{start.output.data.n}'}}
          job: {maps: {n: '{$self.output.data.n}'}}
        both: {type: hook, join: all}
        child: {type: await, topic: parcel, input: {maps: {n: '{start.output.data.n}'}}}
      transitions:
        start: [{to: first}, {to: nap}]
        first: [{to: both}]
        nap: [{to: second}]
        second: [{to: both}]
        both: [{to: child}]
    - subscribes: parcel
      expire: 600
      activities:
        open: {type: trigger}
        wrap: {type: worker, topic: slow, input: {maps: {n: '{open.output.data.n}'}}}
      transitions:
        open: [{to: wrap}]
"""
WORKERS = """
import asyncio

from hotmesh import StreamData, Worker


async def slow(message: StreamData) -> dict:
    await asyncio.sleep(0.05)
    return {"n": message.data["n"]}


workers = [Worker("slow", slow, concurrency=10)]
"""


@pytest.mark.parametrize("partitions", ["1", "4"])
async def test_each_kind_is_killed_in_turn_and_everything_finishes(
    tmp_path: Path, redis_url: str, app_id: str, partitions: str
) -> None:
    (tmp_path / "workers.py").write_text(WORKERS)
    terminal = Terminal(
        tmp_path,
        HOTMESH_REDIS_URL=redis_url,
        HOTMESH_PARTITIONS=partitions,
        HOTMESH_LEASE="2s",
    )
    kinds = {"engine": ("engine",), "worker": ("worker", "-A", "workers")}
    if any(command.name == "quorum" for command in COMMANDS):
        kinds["quorum"] = ("quorum",)
    try:
        both = [command for command in kinds.values() for _ in range(2)]
        async with fleet(terminal, app_id, "hm", *both) as (mesh, running):
            await mesh.deploy(MODEL.replace("APP", app_id))
            await mesh.activate("1")
            by_kind = {
                kind: running[2 * number : 2 * number + 2] for number, kind in enumerate(kinds)
            }
            jids = [await mesh.pub("order", {"n": n}) for n in range(JOBS)]
            for kind, command in kinds.items():
                for victim in by_kind[kind]:  # each of them: the second when a fresh one is there
                    victim.signal(signal.SIGKILL)
                    fresh = terminal.start(*command)
                    await asyncio.to_thread(fresh.until, "ready: ")
                jids += [await mesh.pub("order", {"n": n}) for n in range(len(jids), 2 * JOBS)]
            outputs = await asyncio.gather(*(mesh.result("order", j, timeout=90) for j in jids))
            assert [o.data["n"] for o in outputs] == list(range(len(jids)))
    finally:
        terminal.close()

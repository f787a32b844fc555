"""Random workflow programs, run with and without crashes: equal results, equal histories, and a
cold replay under other hash seeds asks for the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from typing import Any

import pytest
from fuzz_programs import (
    ACTIVITIES,
    effects,
    has,
    is_ordered,
    program,
    programs,
    signals_of,
)
from hypothesis import HealthCheck, Phase, given, settings

from hotmesh.core.durable import records as r
from hotmesh.durable import Client, Worker
from hotmesh.durable.errors import DurableError
from hotmesh.durable.history import History
from hotmesh.errors import ServerUnavailable
from hotmesh.testing.durable import Replayer

pytestmark = pytest.mark.timeout(3_000)

MODES: dict[str, dict[str, Any]] = {
    "plain": {},
    "queued": {"eager": False},
    "replayed": {"max_cached": 0},
    "one": {"max_cached": 1},
    "crashing": {"faults": 0.25},
    "forgetful": {"faults": 0.25, "max_cached": 0, "eager": False},
}
SEEDS = (3, 4_242)
RESULT_S = 20
AT_ONCE = 4


def _faulty(worker: Worker, share: float, draw: random.Random) -> None:
    """Lose the memory of runs in the middle: before a commit, or when it has taken effect."""
    assert worker.turns is not None
    for runs in (worker.turns.runs, worker.calls.runs):
        _break(runs, "try_all", share, draw)

    turns = worker.turns
    keep = turns._keep

    def forgets(run: Any) -> None:
        keep(run)
        if draw.random() < share and run.begin.run_id in turns.cache:
            turns.tear_down(turns.cache.pop(run.begin.run_id))

    turns._keep = forgets  # type: ignore[method-assign]


def _break(owner: Any, name: str, share: float, draw: random.Random) -> None:
    call = getattr(owner, name)

    async def faulty(*args: Any) -> Any:
        lot = draw.random()
        if lot < share / 2:
            raise ServerUnavailable("fault: nothing was sent")
        given = await call(*args)
        if lot < share:
            raise ServerUnavailable("fault: the reply was lost")
        return given

    setattr(owner, name, faulty)


class Bench:
    """A namespace and workers for each mode."""

    def __init__(self, redis_url: str, app_id: str) -> None:
        self.redis_url, self.app_id = redis_url, app_id
        self.clients: dict[str, Client] = {}
        self.workers: list[Worker] = []
        self.histories: list[History] = []
        self.draw = random.Random(2)
        self.programs = 0

    async def open(self) -> None:
        for mode, given_options in MODES.items():
            options = dict(given_options)
            faults = options.pop("faults", 0)
            namespace = f"{self.app_id}-{mode}"
            self.clients[mode] = Client(self.redis_url, namespace)
            worker = await Worker.create(
                self.redis_url,
                namespace=namespace,
                workflows=[program],
                activities=ACTIVITIES,
                lease="3s",
                grace="1s",
                **options,
            )
            self.workers.append(worker)
            if faults:
                _faulty(worker, faults, self.draw)
            await worker.start()

    async def close(self) -> None:
        for worker in self.workers:
            await worker.stop()
        for client in self.clients.values():
            await client.close()

    async def check(self, node: list[Any]) -> None:
        """Run a program in every mode and compare."""
        self.programs += 1
        given_ = await asyncio.gather(*(self._run(mode, node) for mode in MODES))
        results = {mode: result for mode, (result, _) in zip(MODES, given_, strict=True)}
        assert len({json.dumps(result) for result in results.values()}) == 1, results
        twice = {key: n for key, n in effects.items() if n > 1}
        assert not twice, f"attempts whose effect was there twice: {twice}"
        commands = {}
        for mode, (_, history) in zip(MODES, given_, strict=True):
            _each_answer_counts_once(history)
            commands[mode] = _commands(history)
            self.histories.append(history)
        if is_ordered(node):
            assert len({json.dumps(c) for c in commands.values()}) == 1, commands
        elif not has(node, "race"):
            same = {json.dumps(sorted(Counter(k for k, _ in c).items())) for c in commands.values()}
            assert len(same) == 1, commands

    async def _run(self, mode: str, node: list[Any]) -> tuple[Any, History]:
        client = self.clients[mode]
        signals = signals_of(node)
        self.draw.shuffle(signals)
        handle = await client.workflow.start(program, node)
        for k in signals:
            if self.draw.random() < 0.5:
                await asyncio.sleep(self.draw.random() * 0.02)
            await client.workflow.signal(f"{handle.workflow_id}-{k}", k)
        try:
            result = await handle.result(timeout=f"{RESULT_S}s")
        except DurableError as exc:
            events = "\n".join(
                f"{e.id} {e.kind} {e.seq} {e.fields}" for e in await handle.history()
            )
            pytest.fail(f"{mode}: {exc}\n{json.dumps(node)}\n{await handle.describe()}\n{events}")
        return result, await handle.history()

    async def replay_cold(self) -> None:
        """Everything again in child processes, where sets have another order."""
        replayer = Replayer([program])
        outcomes = await asyncio.to_thread(replayer.replay, self.histories, hash_seeds=SEEDS)
        assert len(outcomes) == len(self.histories) * (1 + len(SEEDS))
        outcomes.check()


def _each_answer_counts_once(history: History) -> None:
    taken: Counter[int] = Counter()
    for item in history.records:
        if type(item) is r.Turn:
            for i in item.ins:
                record = history.records[i] if type(i) is int else i
                if isinstance(record, r.Answer):
                    taken[record.seq] += 1
    twice = {seq: n for seq, n in taken.items() if n > 1}
    assert not twice, f"steps that were answered twice: {twice}"


def _commands(history: History) -> list[Any]:
    """What the code asked for, without what came between."""
    found = []
    for item in history.records:
        if type(item) is r.Turn:
            found += [[type(c).__name__, getattr(c, "seq", 0)] for c in item.commands]
    return [c for c in found if c[0] not in ("WaitCancel", "TimerCancel")]


def _drawn(examples: int, *, derandomize: bool) -> list[list[Any]]:
    found: list[list[Any]] = []

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def draw(node: list[Any]) -> None:
        found.append(node)

    draw()
    return found


async def _fuzz(bench: Bench, examples: int, *, derandomize: bool) -> None:
    """Programs run a few at a time, in every mode; what is found is printed as a program."""
    nodes = _drawn(examples, derandomize=derandomize)
    if text := os.environ.get("HOTMESH_FUZZ_PROGRAM"):
        nodes = [json.loads(text)] * 20
    for first in range(0, len(nodes), AT_ONCE):
        async with asyncio.TaskGroup() as group:
            for node in nodes[first : first + AT_ONCE]:
                group.create_task(bench.check(node))
    await bench.replay_cold()


@pytest.fixture
async def bench(redis_url: str, app_id: str) -> Any:
    made = Bench(redis_url, app_id)
    await made.open()
    yield made
    await made.close()


async def test_random_programs_are_the_same_in_every_mode(bench: Bench) -> None:
    await _fuzz(bench, int(os.environ.get("HOTMESH_FUZZ", "25")), derandomize=True)


@pytest.mark.chaos
async def test_many_random_programs_are_the_same_in_every_mode(bench: Bench) -> None:
    await _fuzz(bench, int(os.environ.get("HOTMESH_FUZZ_LONG", "400")), derandomize=False)

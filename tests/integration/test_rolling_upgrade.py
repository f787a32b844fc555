"""A fleet is upgraded one service after the other, with jobs in flight, to a release that writes
another wire format. The older release leaves what it can't read, and nothing is lost.

The next release is a copy of the package whose calls and answers have a format of their own; it
reads both, as a release must for one upgrade.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from test_cli_support import Running, Terminal, eventually

import hotmesh
from hotmesh.messages import Redeliver, Signal, Woken, Work, encode_entry, is_of_another_release
from hotmesh.release import RELEASE

NEXT = "9.9.9"
JOBS = 20
STEPS = 3

# Appended to messages.py of the next release: what the release before it has written is read too.
READS_BOTH = """

def _reads_both(decode):
    def read(data):
        data = bytes(data)
        for stem in (b"work", b"reply", b"again"):
            head = bytes([0xA1 + len(stem)])
            data = data.replace(head + stem + b"1", head + stem + b"2", 2)
        return decode(data)
    return read

decode_engine_entry = _reads_both(decode_engine_entry)
decode_work = _reads_both(decode_work)
"""

WORKERS = """
import asyncio

async def step(data: dict) -> dict:
    await asyncio.sleep(1)  # longer than it takes to start a service
    return {"n": data["n"] + 1}

workers = {"step": step}
"""


def model() -> dict[str, Any]:
    names = ["t", *(f"w{number}" for number in range(STEPS))]
    activities: dict[str, Any] = {"t": {"type": "trigger"}}
    for before, name in itertools.pairwise(names):
        activities[name] = {
            "type": "worker",
            "topic": "step",
            "input": {"maps": {"n": f"{{{before}.output.data.n}}"}},
            "job": {"maps": {"n": "{$self.output.data.n}"}},
        }
    transitions = {a: [{"to": b}] for a, b in itertools.pairwise(names)}
    graph = {"subscribes": "run", "expire": 600, "activities": activities}
    return {
        "app": {"id": "rolling", "version": "1", "graphs": [graph | {"transitions": transitions}]}
    }


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory whose `hotmesh` is the next release."""
    folder = tmp_path_factory.mktemp("next")
    package = folder / "hotmesh"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(hotmesh.__file__).parent, package, ignore=ignored)
    messages = package / "messages.py"
    text = messages.read_text()
    for tag in ("work", "reply", "again"):
        assert text.count(f'tag="{tag}1"') == 1
        text = text.replace(f'tag="{tag}1"', f'tag="{tag}2"')
    messages.write_text(text + READS_BOTH)
    release = package / "release.py"
    release.write_text(re.sub(re.escape(f'"{RELEASE}"'), f'"{NEXT}"', release.read_text()))
    return folder


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "steps.py").write_text(WORKERS)
    (tmp_path / "model.json").write_text(json.dumps(model()))
    (tmp_path / "hotmesh.toml").write_text('app = "rolling"\nlease = "1s"\n')
    terminal = Terminal(tmp_path)
    try:
        yield terminal
    finally:
        terminal.close()


ARGS = {"engine": ["engine"], "worker": ["worker", "-A", "steps"], "quorum": ["quorum"]}


class Fleet:
    """Services of two releases."""

    def __init__(self, terminal: Terminal, next_release: Path) -> None:
        self._terminal, self._path = terminal, str(next_release)
        self.running: dict[str, Running] = {}
        self.retired: dict[str, Running] = {}

    def start(self, role: str, *, upgraded: bool) -> None:
        path = {"PYTHONPATH": self._path} if upgraded else {}
        was, self._terminal.environ = self._terminal.environ, self._terminal.environ | path
        try:
            service = self._terminal.start(*ARGS[role], "--log-format", "json")
        finally:
            self._terminal.environ = was
        service.until("ready: ")
        self.running[role] = service

    def upgrade(self, role: str) -> None:
        """The new one first, then the old one drains, as a supervisor does it."""
        old = self.running[role]
        self.start(role, upgraded=True)
        old.signal(signal.SIGTERM)
        assert old.wait() == 0, old.err
        self.retired[role] = old


def data_of(terminal: Terminal, jobs: list[str]) -> list[Any]:
    """The data of jobs, straight from their records: quicker than a command each."""
    with redis.Redis(unix_socket_path=str(terminal.home / "server.sock")) as client:
        found = [client.hget(f"hm:{{rolling/0}}:j:{jid}", "d") for jid in jobs]
    return [None if data is None else msgspec.msgpack.decode(data) for data in found]


@pytest.mark.parametrize("order", [("worker", "engine", "quorum"), ("quorum", "engine", "worker")])
def test_fleet_is_upgraded_one_service_after_the_other_and_nothing_is_lost(
    terminal: Terminal, next_release: Path, order: tuple[str, ...]
) -> None:
    fleet = Fleet(terminal, next_release)
    for role in order:
        fleet.start(role, upgraded=False)
    terminal.ok("deploy", "model.json", "--activate")

    for role in order:
        jobs = [f"{role}-{number}" for number in range(JOBS)]
        terminal.batch(*(["pub", "run", '{"n": 0}', "--job-id", jid] for jid in jobs))
        fleet.upgrade(role)
        releases = {
            m["roles"][0].partition(":")[0]: m["release"]
            for m in terminal.json("rollcall")["members"]
            if m["state"] not in ("dead", "silent")
        }
        assert releases[role] == NEXT

    every = [f"{role}-{number}" for role in order for number in range(JOBS)]

    wanted = [{"n": STEPS}] * len(every)
    eventually(lambda: data_of(terminal, every) == wanted, "all jobs are done", within_s=60)
    assert terminal.json("dlq", "list")["dead_letters"] == []
    # It did happen: an older service met what it can't read, and said so.
    met = [role for role, old in fleet.retired.items() if "entry.format_unknown" in old.err]
    assert met == (["engine"] if order[0] == "worker" else ["worker"])


def test_each_kind_of_service_is_killed_in_turn_and_everything_finishes(
    terminal: Terminal, next_release: Path
) -> None:
    fleet = Fleet(terminal, next_release)
    for role in ARGS:
        fleet.start(role, upgraded=False)
    terminal.ok("deploy", "model.json", "--activate")

    for role in ARGS:
        jobs = [f"{role}-{number}" for number in range(JOBS)]
        terminal.batch(*(["pub", "run", '{"n": 0}', "--job-id", jid] for jid in jobs))
        killed = fleet.running[role]
        killed.signal(signal.SIGKILL)
        killed.wait()
        fleet.start(role, upgraded=False)

    every = [f"{role}-{number}" for role in ARGS for number in range(JOBS)]
    wanted = [{"n": STEPS}] * len(every)
    eventually(lambda: data_of(terminal, every) == wanted, "all jobs are done", within_s=60)
    assert terminal.json("dlq", "list")["dead_letters"] == []

    def is_tidy() -> bool:
        members = terminal.json("rollcall")["members"]
        return [m["state"] for m in members] == ["running"] * len(ARGS)

    eventually(is_tidy, "the quorum service has forgotten those that were killed")


def test_a_newer_release_goes_back_to_the_older_one_once_its_entries_are_done(
    terminal: Terminal, next_release: Path
) -> None:
    """A roll-back: drain the newer ones first, and what they wrote is settled by them."""
    fleet = Fleet(terminal, next_release)
    for role in ("engine", "worker"):
        fleet.start(role, upgraded=True)
    terminal.ok("deploy", "model.json", "--activate")
    jobs = [f"j{number}" for number in range(5)]
    terminal.batch(*(["pub", "run", '{"n": 0}', "--job-id", jid] for jid in jobs))

    wanted = [{"n": STEPS}] * len(jobs)
    eventually(lambda: data_of(terminal, jobs) == wanted, "the older client's jobs are done")
    for role in ("engine", "worker"):
        assert fleet.running[role].stop() == 0
        fleet.start(role, upgraded=False)
    assert '"n": 3' in terminal.ok("pubsub", "run", '{"n": 0}')


# -- what counts as another release's


WORK = Work("j", "a", ",0", "1", "t")
WOKEN = encode_entry(Woken("j", "a", ",0", "1", "t", "k"))


def tagged(entry: Any, old: bytes, new: bytes) -> bytes:
    packed = encode_entry(entry)
    assert old in packed
    return packed.replace(old, new)


@pytest.mark.parametrize(
    "parts",
    [
        (tagged(WORK, b"work1", b"work2"),),
        (tagged(Redeliver(WORK), b"again1", b"again9"),),
        (tagged(Redeliver(WORK), b"work1", b"work2"),),  # a known entry around an unknown one
        (WOKEN, tagged(Signal("success", 200, msgspec.Raw(b"\x80"), "r"), b"sig1", b"sig2")),
        (msgspec.msgpack.encode(["novelty1", 1]), None),
    ],
)
def test_what_a_newer_release_wrote_is_left(parts: tuple[bytes | None, ...]) -> None:
    assert is_of_another_release(*parts)


@pytest.mark.parametrize(
    "parts",
    [
        (b"", None),
        (b"\xc1",),
        (msgspec.msgpack.encode({"work2": 1}),),
        (msgspec.msgpack.encode(["work1", "too short"]),),
        (msgspec.msgpack.encode(["reply1", ["user1", "data"]]),),
        (WOKEN, b"\xc1"),
    ],
)
def test_garbage_is_not_taken_for_a_newer_release(parts: tuple[bytes | None, ...]) -> None:
    assert not is_of_another_release(*parts)

"""The processes of the chaos suite: `python roles.py KIND URL APP LEDGER LEASE [BROKEN]`.

An engine, a worker, or both in one (`fused`). Workers note each call in a ledger, a file that every
process appends to with one write per line, before they do anything else: what a killed process has
begun is known.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

import breakage
import uvloop
from shapes import TURNS, value_of

from hotmesh import HotMesh, Settings, StreamData, StreamResult, Worker
from hotmesh.errors import HotMeshError
from hotmesh.lifecycle import serve
from hotmesh.telemetry.logs import configure_logs

TOPICS = {
    "engine": (),
    "worker": ("work.a", "work.b", "work.c"),
    "fused": ("work.a", "work.b"),
}
CONNECT_WITHIN_S = 60.0
CONCURRENCY = 40


class Refused(Exception):
    """A failure of a handler; `code` is what transitions see."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        super().__init__(text)


class Handler:
    """The function of every topic; what it does is told by the call."""

    def __init__(self, ledger: str) -> None:
        self._ledger = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def __call__(self, msg: StreamData) -> Any:
        sent = msg.data
        self._note(msg)
        await asyncio.sleep(sent["nap"])
        x = sent["x"] + sent.get("plus", 0) + sent.get("more", 0)
        value = value_of(msg.metadata.topic, x)
        match sent["op"]:
            case "flaky":
                if msg.metadata.try_count < sent["fails"]:
                    raise Refused(503, "not yet")
            case "fail":
                raise Refused(422, "never")
            case "pend":
                return StreamResult(status="pending", data={"p": 1})
            case "turn":
                turn = sent["n"] + 1
                return {"v": value, "n": turn, "done": turn >= TURNS}
        return {"v": value}

    def _note(self, msg: StreamData) -> None:
        meta = msg.metadata
        line: dict[str, Any] = {
            "root": msg.data.get("root"),
            "jid": meta.jid,
            "aid": meta.aid,
            "dad": meta.dad,
            "attempt": meta.try_count,
            "guid": meta.guid,
            "pid": os.getpid(),
            "at": time.time(),
        }
        if msg.data["op"] == "pend":
            line["call"] = {"topic": meta.topic, "version": meta.version, "trace": meta.trace}
        os.write(self._ledger, json.dumps(line).encode() + b"\n")


async def run(kind: str, url: str, app_id: str, ledger: str, lease: str) -> int:
    """Be that process until SIGTERM; the exit code."""
    handler = Handler(ledger)
    workers = [Worker(topic, handler, concurrency=CONCURRENCY) for topic in TOPICS[kind]]
    deadline = time.monotonic() + CONNECT_WITHIN_S
    while True:
        try:
            mesh = await HotMesh.init(
                app_id,
                url,
                engine=kind != "worker",
                workers=workers,
                lease=lease,
                settings=Settings(grace="1s"),
            )
            break
        except HotMeshError as exc:
            print(f"not yet: {exc!r}", file=sys.stderr, flush=True)
            if time.monotonic() > deadline:
                return 3
            await asyncio.sleep(0.1)
    print("ready", file=sys.stderr, flush=True)
    try:
        return await serve(mesh.host)
    finally:
        await mesh.stop()


def main() -> int:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlive the tests
    kind, url, app_id, ledger, lease, *broken = sys.argv[1:]
    configure_logs("info", "json")
    if broken:
        breakage.apply(broken[0])
    return uvloop.run(run(kind, url, app_id, ledger, lease))


if __name__ == "__main__":
    sys.exit(main())

"""A small network service: each line that a client sends becomes a job, the answer is its result.

The service owns its process: it handles the signals, and it opens and stops the mesh. hotmesh is a
library here, like a database driver.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from hotmesh import HotMesh, HotMeshError, Worker

MODEL = Path(__file__).with_name("model.yaml")


def count(data: dict[str, str]) -> dict[str, object]:
    """A plain function; it runs in a thread, so that it may take its time."""
    words = data["line"].split()
    if not words:
        raise ValueError("nothing to count")
    return {"words": len(words), "longest": max(words, key=len)}


class Service:
    """Answers clients."""

    def __init__(self, mesh: HotMesh) -> None:
        self.mesh = mesh

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client until it leaves."""
        try:
            while line := await reader.readline():
                answer = await self.answer(line.decode().strip())
                writer.write(json.dumps(answer, sort_keys=True).encode() + b"\n")
                await writer.drain()
        finally:
            writer.close()

    async def answer(self, line: str) -> object:
        """The result of one job, or what went wrong with it."""
        try:
            result = await self.mesh.pubsub("text.received", {"line": line}, timeout=10)
        except HotMeshError as error:
            return {"error": getattr(error, "message", str(error)), "code": error.code}
        return result.data


@asynccontextmanager
async def running(port: int = 0) -> AsyncIterator[int]:
    """Start-up and shutdown: the mesh opens first and closes last."""
    workers = [Worker("text.count", count, concurrency=4)]
    async with HotMesh.session("texts", workers=workers) as mesh:
        await mesh.deploy(MODEL)
        await mesh.activate("1")
        server = await asyncio.start_server(Service(mesh).talk, "127.0.0.1", port)
        async with server:
            yield server.sockets[0].getsockname()[1]


async def main() -> None:
    """Serve until SIGTERM or Ctrl-C."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running() as port:
        print(f"listening on {port}", flush=True)
        await stop.wait()
    print("stopped", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

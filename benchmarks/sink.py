"""Takes whatever is posted, and forgets it: where telemetry goes while it is measured."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from benchmarks import child

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
BODY_BYTES_MAX = 2**26


@asynccontextmanager
async def sink() -> AsyncIterator[Mapping[str, child.Action]]:
    """Listens on loopback; `port` says where, `taken` how many bytes came."""
    taken = 0

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                taken += len(await reader.readexactly(min(length, BODY_BYTES_MAX)))
                writer.write(ANSWER)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # whoever sends has ended
        finally:
            writer.close()

    async def port() -> int:
        return int(server.sockets[0].getsockname()[1])

    async def count() -> int:
        return taken

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield {"port": port, "taken": count}


if __name__ == "__main__":
    child.main(sink(), f"sink-{sys.argv[0]}")

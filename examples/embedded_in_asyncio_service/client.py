"""Start the service as a process, talk to it, and tell it to stop."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

SERVICE = Path(__file__).with_name("service.py")
LINES = ("to be or not to be", "orchestration", "")


async def main() -> None:
    """Send a few lines."""
    service = await asyncio.create_subprocess_exec(sys.executable, str(SERVICE), stdout=PIPE)
    assert service.stdout is not None
    try:
        port = await listening(service.stdout)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for line in LINES:
            writer.write(line.encode() + b"\n")
            print(repr(line), "->", (await reader.readline()).decode().strip())
        writer.close()
    finally:
        service.terminate()  # SIGTERM: it drains
        rest = await service.stdout.read()
    print("the service says:", rest.decode().split()[-1])
    print("exit code:", await service.wait())


async def listening(output: asyncio.StreamReader) -> int:
    """The port, once the service says so."""
    async for line in output:
        if line.startswith(b"listening on "):
            return int(line.split()[-1])
    raise SystemExit("the service did not start")


if __name__ == "__main__":
    asyncio.run(main())

"""A TCP proxy in the test process that can cut, stall and count, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes bytes to and from one server.

    Attributes:
        port: Where it listens.
        connections: How many it has accepted.
        reply_bytes_left: Cut the connection when so many more bytes have come from the server;
            None passes all.
        flowing: Clear it, and nothing passes while the sockets stay open.
        rewrite: What to make of a piece of reply.
        pause_s: How long to wait after each piece of reply, of at most 64 KiB.
    """

    def __init__(self, server_port: int, *, tls: ssl.SSLContext | None = None) -> None:
        self._server_port, self._tls = server_port, tls
        self.port = 0
        self.connections = 0
        self.reply_bytes_left: int | None = None
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.rewrite: Callable[[bytes], bytes] = lambda data: data
        self.pause_s = 0.0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._listener.close()
        # Not cancelled: asyncio would log that. Without sockets they end by themselves.
        self.flowing.set()
        self.cut()
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        """Close every connection at once, in both directions."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
                self._writers.add(up_writer)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, up_writer, is_reply=False))
                    group.create_task(self._pass(up_reader, writer, is_reply=True))
        finally:
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                await self.flowing.wait()
                if is_reply:
                    data = self.rewrite(data)
                if is_reply and self.reply_bytes_left is not None:
                    data = data[: self.reply_bytes_left]
                    self.reply_bytes_left -= len(data)
                writer.write(data)
                await writer.drain()
                if is_reply and self.reply_bytes_left == 0:
                    break
                if is_reply and self.pause_s:
                    await asyncio.sleep(self.pause_s)
        except OSError:
            pass
        # Let what was written go out before the socket closes.
        writer.close()
        self._writers.discard(writer)

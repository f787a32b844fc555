"""The embedded server, for as long as a test or a session of tests lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def embedded_server(home: Path | None = None, *, binary: str | None = None) -> Iterator[str]:
    """Start a server; gives its URL, and stops it at the end.

    Not async, so that it can outlive the event loops of single tests.

    Args:
        home: Where its data lie; a temporary directory when None.
        binary: Another server's executable, such as one of Redis.
    """
    from hotmesh.connect.embedded import ensure

    with TemporaryDirectory(prefix="hotmesh-test-") as temporary:
        server = _in_thread(ensure(home or Path(temporary), server_binary=binary))
        try:
            yield server.url
        finally:
            _in_thread(server.release())


def _in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop of its own, whether or not there is one here."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()

"""Where an answer goes: over the engine's stream, or straight into the transition when the engine
is in this process.

Both are one script that acknowledges the worker's entry together with its effect. The second saves
the hop: the result and the transition that it causes are the same script.
"""

from __future__ import annotations

from typing import Protocol

from hotmesh.messages import Reply, encode_entry
from hotmesh.store import ANSWER_RETRIES_MAX, Entry, Partition, Store, Verdict, retrying
from hotmesh.store.encode import text


class Settle(Protocol):
    """Writes an answer, once; LOST when the entry is another's by now."""

    async def __call__(
        self, entry: Entry, consumer: str, partition: Partition, reply: Reply
    ) -> Verdict: ...


class Remote:
    """The engine is elsewhere: append the answer to its stream."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def __call__(
        self, entry: Entry, consumer: str, partition: Partition, reply: Reply
    ) -> Verdict:
        op = ["append", 3, text(encode_entry(reply))]
        return await retrying(
            lambda: self._store.answer(entry, consumer, [op], [partition.engine]),
            what="answer",
            tries_max=ANSWER_RETRIES_MAX,
        )

"""One commit of one partition: state, outputs and acknowledgements as one script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hotmesh.connect import Arg
from hotmesh.streams.store import StreamStore

ARGUMENTS_MAX = 1_000
"""Of one command: Lua can't unpack more than some thousands."""

APPLIED, DUPLICATE, LOST = 1, 3, 6
DEAD_MAX = 100_000
"""Dead letters kept per topic and partition; the oldest go first."""


class Commit:
    """Commands that are to take effect together. Keys are of one slot."""

    def __init__(self, owner: str) -> None:
        self._keys: dict[str, int] = {owner: 1}
        self._types: list[str] = []
        self._arguments: list[Any] = []

    def key(self, name: str, kind: str) -> int:
        """The position of a key, whose type is `h`, `s`, `z` or `t`."""
        at = self._keys.get(name)
        if at is None:
            at = self._keys[name] = len(self._keys) + 1
            self._types.append(kind)
        return at

    def add(self, command: str, key: int, *arguments: Arg) -> None:
        """One command."""
        self._arguments += (command, key, len(arguments), *arguments)

    def many(
        self, command: str, key: int, arguments: Sequence[Arg], *, first: Sequence[Arg] = ()
    ) -> None:
        """One command over many arguments, in pieces; `first` stands before each piece."""
        step = ARGUMENTS_MAX
        for at in range(0, len(arguments), step):
            self.add(command, key, *first, *arguments[at : at + step])

    def acknowledge(self, stream: str, group: str, ids: Sequence[bytes]) -> None:
        """Entries of a topic are handled. They stay in the stream, for other groups."""
        self.many("XACK", self.key(stream, "s"), ids, first=(group,))

    def append(self, stream: str, fields: Iterable[Arg], *, id: str = "*", keep: int = 0) -> None:
        """An entry for a stream of this slot; `keep` bounds the stream."""
        bound = ("MAXLEN", "~", keep) if keep else ()
        self.add("XADD", self.key(stream, "s"), *bound, id, *fields)

    def __bool__(self) -> bool:
        return bool(self._arguments)

    def arguments(self, epoch: int, number: int) -> tuple[list[str], list[Any]]:
        """KEYS and ARGV."""
        return list(self._keys), [epoch, number, "".join(self._types), *self._arguments]


async def apply(store: StreamStore, commit: Commit, epoch: int, number: int) -> int:
    """Apply it, if the partition is still held under `epoch`; APPLIED, DUPLICATE or LOST.

    Repeating it after a lost reply is safe: the number tells.

    Raises:
        ServerUnavailable: It is not known whether it was applied.
        StateLost: A key holds something else.
    """
    keys, arguments = commit.arguments(epoch, number)
    verdict: int = await store.run("commit", keys, *arguments)
    return verdict

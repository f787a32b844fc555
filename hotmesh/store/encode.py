"""Effects → KEYS and one packed argument of `apply.lua`.

The server's `cmsgpack` refuses MessagePack's *bin* type, so bytes are spliced in as *str*: a
script carries them, never looks into them. Everything is checked here, before it is sent: a script
that fails half-way has written its first half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, assert_never

import msgspec
from msgspec import Raw

from hotmesh.core import (
    Append,
    Count,
    Delete,
    Effect,
    Expire,
    FieldsDrop,
    FieldsSet,
    Hear,
    Publish,
    Tell,
    TimerDrop,
    TimerSet,
    Unhear,
)
from hotmesh.durations import MS_MAX
from hotmesh.errors import HotMeshError
from hotmesh.store.keys import Keys, Partition

PUBLISH_BYTES_MAX = 1024

EARLY_MAX = 1_000
"""Signals that may wait for one hook; more are refused."""

RECEIPT_MS = 600_000
"""How long a repeated sending of a signal is recognised."""

_SHORT = [bytes((0xA0 | size,)) for size in range(32)]

_encode = msgspec.msgpack.Encoder().encode


def text(data: bytes) -> Raw:
    """Bytes as a MessagePack str, whatever they are."""
    size = len(data)
    if size < 32:
        return Raw(_SHORT[size] + data)
    return Raw(b"\xdb" + size.to_bytes(4, "big") + data)


class EffectInvalid(HotMeshError):
    """An effect that the server would refuse after others were written: it is never sent.

    A fault of ours.
    """


class Command:
    """One `apply` in the making: its keys, its guard and its ops."""

    __slots__ = ("_at", "keys", "ops")

    def __init__(self, job: str, entry_stream: str = "") -> None:
        self.keys = [job, entry_stream or job]
        self.ops: list[list[Any]] = []
        self._at: dict[str, int] = {}

    def key(self, name: str) -> int:
        """The position of a key, which it gets when it is first asked for."""
        at = self._at.get(name)
        if at is None:
            self.keys.append(name)
            at = self._at[name] = len(self.keys)
        return at

    def add(self, keys: Keys, partition: Partition, effects: Sequence[Effect]) -> None:
        """Add effects, in order."""
        for effect in effects:
            self.ops.append(self._op(keys, partition, effect))

    def arguments(self, sha: str, guard: list[Any], skew_ms: int) -> tuple[Any, ...]:
        """The whole EVALSHA."""
        packed = _encode([guard, self.ops, skew_ms])
        return ("EVALSHA", sha, len(self.keys), *self.keys, packed)

    def _op(self, keys: Keys, partition: Partition, effect: Effect) -> list[Any]:
        # By exact type, the common ones first: this runs several times per transition.
        kind = type(effect)
        if kind is FieldsSet:
            op: list[Any] = ["set"]
            for name, value in effect.fields.items():  # type: ignore[union-attr]
                op.append(name)
                op.append(text(value))
            return op
        if kind is Append:
            return self._append_op(partition, effect)  # type: ignore[arg-type]
        if kind is Publish:
            return self._publish_op(keys, effect)  # type: ignore[arg-type]
        return self._rarer_op(keys, partition, effect)

    def _append_op(self, partition: Partition, effect: Append) -> list[Any]:
        if effect.rid:
            return self._once_op(partition, effect)
        if effect.stream == "engine":
            return ["append", self.key(partition.engine), text(effect.payload)]
        if effect.stream == "worker":
            return ["append", self.key(partition.worker(effect.name)), text(effect.payload)]
        return ["forward", self.key(partition.outbox), effect.name, text(effect.payload)]

    def _once_op(self, partition: Partition, effect: Append) -> list[Any]:
        assert effect.stream != "worker", "a call is guarded by its job"
        is_here = effect.stream == "engine"
        stream = self.key(partition.engine if is_here else partition.outbox)
        receipt = self.key(partition.receipt(effect.rid))
        return ["once", stream, effect.name, text(effect.payload), receipt, RECEIPT_MS]

    def _publish_op(self, keys: Keys, effect: Publish) -> list[Any]:
        assert len(effect.payload) <= PUBLISH_BYTES_MAX, "pub/sub carries hints only"
        is_caller = effect.channel == "caller"
        where = keys.caller(effect.name) if is_caller else keys.published(effect.name)
        return ["publish", where, text(effect.payload)]

    def _rarer_op(self, keys: Keys, partition: Partition, effect: Effect) -> list[Any]:
        match effect:
            case Expire(after_ms=after_ms):
                if not 0 < after_ms <= MS_MAX:
                    raise EffectInvalid(f"an expiry of {after_ms} ms is out of range")
                return ["expire", after_ms]
            case TimerSet(entry=entry, after_ms=after_ms):
                return ["timer", self.key(partition.timers), text(entry), after_ms, keys.wake]
            case TimerDrop(entry=entry):
                return ["untimer", self.key(partition.timers), text(entry)]
            case Delete():
                return ["delete"]
            case FieldsDrop(names=names):
                return ["drop", *names]
            case Hear() | Unhear() | Tell():
                return self._signal_op(partition, effect)
            case Count():
                return self._count_op(partition, effect)
            case FieldsSet() | Append() | Publish():
                raise AssertionError("handled above")
            case _:
                assert_never(effect)

    def _signal_op(self, partition: Partition, effect: Hear | Unhear | Tell) -> list[Any]:
        waiters = self.key(partition.waiters(effect.topic, effect.key))
        if isinstance(effect, Unhear):
            return ["unhear", waiters, text(effect.waiter)]
        early = self.key(partition.early(effect.topic, effect.key))
        where = [waiters, early, self.key(partition.engine), self.key(partition.outbox)]
        here = str(partition.number)
        if isinstance(effect, Hear):
            receipt = self.key(partition.receipt(effect.rid)) if effect.rid else 0
            return ["hear", *where, here, text(effect.waiter), receipt, RECEIPT_MS]
        receipt = self.key(partition.receipt(effect.rid))
        closes = "1" if effect.closes else "0"
        signal = text(effect.signal)
        limits = [effect.pending_ms, RECEIPT_MS, EARLY_MAX]
        return ["tell", *where, receipt, here, signal, closes, *limits]

    def _count_op(self, partition: Partition, effect: Count) -> list[Any]:
        sums = [x for name, amount in effect.sums.items() for x in (name, _decimal(amount))]
        values = [
            x
            for path, value in effect.values.items()
            for x in (self.key(partition.stats(effect.name, "v", path)), _decimal(value))
        ]
        indexes = [self.key(partition.stats(effect.name, "i", facet)) for facet in effect.indexes]
        position = self.key(partition.stats(effect.name, "s", ""))
        return ["count", effect.jid, effect.keep_ms, position, sums, values, indexes]


def _decimal(value: float) -> str:
    """A number as the server's commands read it.

    Raises:
        EffectInvalid: It is none that can be added.
    """
    if not math.isfinite(value):
        raise EffectInvalid(f"{value} can't be added to statistics")
    return repr(value) if isinstance(value, float) else str(value)

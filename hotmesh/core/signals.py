"""Waiting for signals, and sending them.

A signal and its waiter meet at a *slot*, (topic, key), which lives in the partition that follows
from both. There, in one script, either the signal finds a waiter, or it is kept for a while. The
meeting is an entry for the waiter's job: what the hook registered, with the signal beside it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hotmesh.compiler import Node, Program
from hotmesh.core.effects import Append, Hear, Tell, Unhear
from hotmesh.core.outcome import Outcome
from hotmesh.core.turn import Limits, Turn
from hotmesh.errors import HookNotFound, MappingError
from hotmesh.ids import derive, partition_of
from hotmesh.mapping import UNDEFINED, Env, text_of
from hotmesh.messages import Listen, Send, Signal, Woken, encode_entry

PENDING_MS = 600_000
"""How long a signal that comes before its hook is kept, unless the model says otherwise."""


def slot(topic: str, key: str) -> str:
    """What stands for a slot where a job id would stand. No job id holds a NUL."""
    return f"{topic}\0{key}"


def key_of(rule: Any, context: dict[str, Any], env: Env, what: str) -> str:
    """The key that a rule gives, as text.

    Raises:
        MappingError: It gives nothing: such a wait would never end, such a signal wake nobody.
    """
    value = rule(context, env)
    if value is UNDEFINED or value is None:
        raise MappingError(f"{what} resolved to nothing; check the field that its rule names")
    return text_of(value)


def address(program: Program, topic: str, data: Any, env: Env) -> tuple[str, int]:
    """The key of a signal with this payload, and how long it may be early.

    Raises:
        HookNotFound: No graph has a hook rule for the topic.
        MappingError: The rule does not find its key in the payload.
    """
    rule = program.rule(topic)
    if rule is None:
        raise HookNotFound(topic=topic, app_id=program.app_id, version=program.version)
    hook = {"data": data}
    context = {"$self": {"hook": hook}, "$hook": hook}
    key = key_of(rule.actual, context, env, f"'actual' of hook topic {topic!r}")
    return key, rule.pending_ms if rule.pending_ms else PENDING_MS


def hear(turn: Turn, node: Node, base: str, topic: str, key: str, wait: int) -> None:
    """Register an activity for a signal."""
    waiter = _waiter(turn, node, base, topic, key, wait)
    if _is_here(turn, topic, key):
        turn.effects.append(Hear(topic, key, registered(waiter, turn.limits)))
    else:
        rid = derive(turn.job.jid, str(turn.job.meta.created_ms), node.id, base, str(wait))
        listen = Listen(slot(topic, key), turn.program.version, waiter, rid=rid)
        turn.append_to_job(listen.jid, listen)


def unhear(turn: Turn, node: Node, base: str, key: str, wait: int) -> None:
    """Take a registration back: the wait ended otherwise."""
    assert node.plan.hook is not None
    topic = node.plan.hook.topic
    waiter = _waiter(turn, node, base, topic, key, wait)
    if _is_here(turn, topic, key):
        turn.effects.append(Unhear(topic, key, registered(waiter, turn.limits)))
    else:
        listen = Listen(slot(topic, key), turn.program.version, waiter, leave=True)
        turn.append_to_job(slot(topic, key), listen)


def tell(turn: Turn, topic: str, key: str, signal: Signal, pending_ms: int) -> None:
    """Send a signal from within a transition."""
    if _is_here(turn, topic, key):
        turn.effects.append(telling(topic, key, signal, pending_ms))
    else:
        send = Send(slot(topic, key), turn.program.version, topic, key, signal, pending_ms)
        turn.append_to_job(send.jid, send)


def telling(topic: str, key: str, signal: Signal, pending_ms: int) -> Tell:
    """The effect that sends a signal."""
    closes = signal.status != "pending"
    return Tell(topic, key, encode_entry(signal), closes, signal.rid, pending_ms)


def bounce(event: Woken, limits: Limits, here: str, program: Program | None = None) -> Outcome:
    """A signal met a waiter that waits no more: send it again, so that it is not lost. It may wait
    anew for as long as the program's rule says.
    """
    rule = program.rule(event.topic) if program is not None else None
    pending_ms = (rule.pending_ms if rule is not None else 0) or PENDING_MS
    assert event.signal is not None
    rid = f"{event.signal.rid}'"
    signal = Signal(
        event.signal.status, event.signal.code, event.signal.data, rid, event.signal.trace
    )
    target = slot(event.topic, event.key)
    gone = msgspec.structs.replace(event, signal=None)  # the registration that the signal met
    there = partition_of(target, limits.partitions)
    if there == partition_of(here, limits.partitions):
        unhear = Unhear(event.topic, event.key, registered(gone, limits))
        return Outcome([unhear, telling(event.topic, event.key, signal, pending_ms)])
    leave = Listen(target, event.version, gone, leave=True)
    send = Send(target, event.version, event.topic, event.key, signal, pending_ms)
    orders = (encode_entry(leave), encode_entry(send))
    return Outcome([Append("outbox", str(there), order) for order in orders])


def registered(waiter: Woken, limits: Limits) -> bytes:
    """A waiter as the slot keeps it: with the partition where its job lives."""
    there = partition_of(waiter.jid, limits.partitions)
    return b"%d:" % there + encode_entry(waiter)


def slot_effect(event: Listen | Send, limits: Limits) -> Hear | Unhear | Tell:
    """What an entry from another partition does to a slot of this one."""
    if isinstance(event, Send):
        return telling(event.topic, event.key, event.signal, event.pending_ms)
    waiter = event.waiter
    where = (waiter.topic, waiter.key, registered(waiter, limits))
    return Unhear(*where) if event.leave else Hear(*where, event.rid)


def _waiter(turn: Turn, node: Node, base: str, topic: str, key: str, wait: int) -> Woken:
    return Woken(turn.job.jid, node.id, base, turn.program.version, topic, key, wait)


def _is_here(turn: Turn, topic: str, key: str) -> bool:
    partitions = turn.limits.partitions
    return partition_of(slot(topic, key), partitions) == partition_of(turn.job.jid, partitions)

"""What can happen to a job.

The entries of the engine stream are events as they are; these two come from client calls.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Raw, Struct

from hotmesh.messages import ChildStart, Continue, Redeliver, Reply, Wake


class Start(Struct, frozen=True, kw_only=True):
    """Begin a job.

    Attributes:
        data: The payload, decoded, and `raw`, the same encoded.
        caller: The client to notify at the end, or "".
        expire_ms: Overrides the graph's expiry when 0 or more.
        parent: The call of an await activity that started it.
    """

    jid: str
    topic: str
    data: Any
    raw: Raw
    caller: str = ""
    trace: str = ""
    expire_ms: int = -1
    parent: ChildStart | None = None


class Interrupt(Struct, frozen=True, kw_only=True):
    """End a running job from outside.

    Attributes:
        throw: Give it an error of code 410, so that callers and parents see a failure.
        expire_ms: How long the record is kept.
    """

    jid: str
    reason: str = ""
    throw: bool = True
    code: int = 410
    expire_ms: int = 1000


Event: TypeAlias = Reply | ChildStart | Redeliver | Wake | Continue | Interrupt
"""What an existing job may meet; a ChildStart is turned into a `Start` first."""

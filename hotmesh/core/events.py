"""What can happen to a job.

The entries of the engine stream are events as they are; a start is made of a call or an entry.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from msgspec import Raw, Struct

from hotmesh.messages import (
    Adopt,
    Begun,
    ChildStart,
    Continue,
    Discard,
    Interrupt,
    Redeliver,
    Reply,
    Retire,
    Wake,
    Woken,
)


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


Event: TypeAlias = (
    Reply
    | ChildStart
    | Begun
    | Redeliver
    | Wake
    | Continue
    | Woken
    | Interrupt
    | Adopt
    | Discard
    | Retire
)
"""What an existing job may meet; the start of a child that does not exist yet is turned into a
`Start` first.
"""

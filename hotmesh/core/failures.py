"""What failed in a job, as a tree: its activities, and below an await what failed in its child.

Errors that a transition took are none of the job's, and are kept only for the tree below them. The
tree is a part of the job's record and travels with the child's answer, because the records of
children may be gone when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hotmesh.core.turn import Turn
from hotmesh.messages import Failure

FAILURES_MAX = 20
"""Failures kept of one job, the newest: each transition of a failed job reads them."""

TREE_MAX = 50
"""Failures of a whole tree that a child hands to its parent; the deepest are left out."""

MESSAGE_CHARS_MAX = 500


def note(
    turn: Turn,
    aid: str,
    dad: str,
    error: dict[str, Any],
    code: int,
    *,
    handled: bool = False,
    below: tuple[Failure, ...] = (),
) -> None:
    """Keep a failure, unless it was handled and nothing failed below it."""
    if handled and not below:
        return
    message = str(error.get("message", "unknown"))
    if len(message) > MESSAGE_CHARS_MAX:
        message = message[:MESSAGE_CHARS_MAX] + " …"
    mine = Failure(code, message, aid, dad, handled, "", below)
    turn.set_extras(failures=(*turn.job.extras.failures, mine)[-FAILURES_MAX:])


def handed_up(failures: Sequence[Failure], jid: str) -> tuple[Failure, ...]:
    """The failures of a job as its parent keeps them: with the job's id, and bounded."""
    named = [msgspec.structs.replace(f, jid=jid) for f in failures]
    return _pruned(named, _depth_within(named, TREE_MAX))


def _depth_within(failures: Sequence[Failure], count_max: int) -> int:
    """How many levels hold at most so many failures together."""
    depth, total, level = 0, 0, list(failures)
    while level and total + len(level) <= count_max:
        depth, total = depth + 1, total + len(level)
        level = [child for failure in level for child in failure.children]
    return depth


def _pruned(failures: Sequence[Failure], depth: int) -> tuple[Failure, ...]:
    if not depth:
        return ()
    return tuple(
        msgspec.structs.replace(f, children=_pruned(f.children, depth - 1)) if f.children else f
        for f in failures
    )

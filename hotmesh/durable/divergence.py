"""Whether a replay asks for what history holds, and what to say when it does not."""

from __future__ import annotations

from hotmesh.core.durable import records as r


def is_ignored(command: r.Command) -> bool:
    """What replays need not meet: rejected updates leave no trace, and a deprecated patch may be
    gone.
    """
    if type(command) is r.Replied:
        return command.rejected
    return type(command) is r.Patched and command.deprecated


_NAMED: dict[type, tuple[str, ...]] = {
    r.Act: ("name", "queue", "step_id", "local"),
    r.Timer: ("step_id",),
    r.Child: ("workflow", "queue", "jid", "step_id"),
    r.ChildCancel: ("jid",),
    r.SignalOut: ("jid", "name"),
    r.StopOut: ("jid", "how"),
    r.HookOut: ("jid", "name"),
    r.Wait: ("name",),
    r.Search: ("answers",),
    r.Emit: ("topic",),
    r.Patched: ("id",),
    r.Accepted: ("uid",),
    r.Replied: ("uid",),
    r.ContinueAsNew: ("workflow",),
}


def is_same(was: r.Command, now: r.Command, strict: bool) -> bool:
    if type(was) is not type(now) or getattr(was, "seq", 0) != getattr(now, "seq", 0):
        return False
    if strict and bytes(getattr(was, "args", b"")) != bytes(getattr(now, "args", b"")):
        return False
    return all(getattr(was, n) == getattr(now, n) for n in _NAMED.get(type(was), ()))


_WORDS = {
    r.Act: "ACT",
    r.ActCancel: "ACT_CANCEL",
    r.Timer: "TIMER",
    r.TimerCancel: "TIMER_CANCEL",
    r.Child: "CHILD",
    r.ChildCancel: "CHILD_CANCEL",
    r.SignalOut: "SIGNAL",
    r.StopOut: "STOP",
    r.HookOut: "HOOK",
    r.Wait: "WAIT",
    r.WaitCancel: "WAIT_CANCEL",
    r.Search: "SEARCH",
    r.Attributes: "ATTRIBUTES",
    r.Memo: "MEMO",
    r.Once: "ONCE",
    r.Patched: "PATCH",
    r.Accepted: "UPDATE_ACCEPTED",
    r.Replied: "UPDATE_DONE",
    r.Emit: "EMIT",
    r.Complete: "COMPLETE",
    r.Fail: "FAIL",
    r.Canceled: "CANCELED",
    r.ContinueAsNew: "CONTINUE",
}


def words(command: r.Command | None) -> str:
    """A command in words: kind, number and name, such as `ACT 2 charge`."""
    if command is None:
        return ""
    parts = [_WORDS[type(command)]]
    if seq := getattr(command, "seq", 0):
        parts.append(str(seq))
    for name in ("name", "workflow", "topic", "id", "uid"):
        if value := getattr(command, name, ""):
            parts.append(str(value))
            break
    if step_id := getattr(command, "step_id", ""):
        parts.append(f"({step_id})")
    return " ".join(parts)

"""What the code of a run asks for: each call makes a command and gives a step to await."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.interceptors import Call
from hotmesh.durable.run_inputs import signal_value
from hotmesh.durable.steps import ChildHandle, Step

if TYPE_CHECKING:
    from hotmesh.durable.run import Run


def activity(
    run: Run,
    act: Callable[[int], r.Act],
    name: str,
    decode: Callable[[Any], Any] | None,
    cancellation: str,
) -> Step[Any]:
    """Ask for an activity."""
    run.check(f"activity {name!r}")
    seq = run.next_seq()
    command = act(seq)
    claim_step_id(run, command.step_id)
    step: Step[Any] = Step(run, seq, "activity", name, decode, _ON_CANCEL[cancellation])
    run.steps[seq] = step
    run.open_acts[seq] = command
    run.commands.append(command)
    return step


def claim_step_id(run: Run, step_id: str) -> None:
    """Names of steps are unique within a run."""
    if step_id:
        if step_id in run.step_ids:
            raise ValueError(f"step_id {step_id!r} was used before in this run")
        run.step_ids.add(step_id)


def wait_signal(run: Run, name: str) -> Step[Any]:
    """Ask for a signal."""
    run.check("wait_for_signal")
    seq = run.next_seq()
    step: Step[Any] = Step(run, seq, "signal", name, None, _cancel_wait)
    box = run.mailbox.get(name)
    if box:
        step.set_result(signal_value(box.popleft().args))
        if not box:
            del run.mailbox[name]
        return step
    run.steps[seq] = step
    run.waiting.setdefault(name, deque()).append(step)
    run.commands.append(r.Wait(seq, name))
    return step


def child(
    run: Run, make: Callable[[int], r.Child], decode: Callable[[Any], Any] | None, cancellation: str
) -> tuple[Step[Any], ChildHandle[Any]]:
    """Ask for a child: the step of its start, and that of its end."""
    run.check("a child workflow")
    seq = run.next_seq()
    command = make(seq)
    claim_step_id(run, command.step_id)
    began: Step[Any] = Step(run, seq, "child start", command.workflow)
    ended: ChildHandle[Any] = ChildHandle(
        run, seq, "child", command.workflow, decode, _ON_CANCEL_CHILD[cancellation]
    )
    ended.workflow_id, ended.run_id = command.jid, ""
    run.steps[-seq], run.steps[seq] = began, ended
    run.children[seq] = command
    run.commands.append(command)
    return began, ended


def signal_out(run: Run, jid: str, run_id: str, name: str, args: Sequence[Any]) -> Step[None]:
    """Send a signal to a run, or to whoever waits for its name."""
    run.check("a signal")
    if run.interceptors is None or "send_signal" not in run.interceptors:
        return _signal_out(run, jid, run_id, name, args)

    def last(call: Call) -> Step[None]:
        return _signal_out(run, call.workflow_id, run_id, call.name, call.args)

    call = Call(name=name, args=tuple(args), workflow_id=jid)
    step: Step[None] = run.interceptors.steps("send_signal", call, last, run.loop)
    return step


def _signal_out(run: Run, jid: str, run_id: str, name: str, args: Sequence[Any]) -> Step[None]:
    seq = run.next_seq()
    data = payloads.encode_args(args, f"signal {name!r}")
    run.commands.append(r.SignalOut(seq, jid, run_id, name, data))
    return outgoing(run, seq, "signal", name, answered=bool(jid))


def stop_out(run: Run, jid: str, run_id: str, how: str, reason: str, error: bool) -> Step[None]:
    """Cancel or terminate another run."""
    run.check(how)
    seq = run.next_seq()
    run.commands.append(r.StopOut(seq, jid, run_id, how, reason, error))
    return outgoing(run, seq, how, jid, answered=True)


def hook_out(run: Run, jid: str, name: str, args: Sequence[Any]) -> Step[None]:
    """Run a function beside the main one."""
    run.check("a hook")
    seq = run.next_seq()
    data = payloads.encode_args(args, f"hook {name!r}")
    run.commands.append(r.HookOut(seq, jid, name, data))
    return outgoing(run, seq, "hook", name, answered=True)


def emit(run: Run, topic: str, data: Any) -> Step[None]:
    """Publish."""
    run.check("emit")
    seq = run.next_seq()
    run.commands.append(r.Emit(seq, topic, payloads.encode(data, f"the event of {topic!r}")))
    return outgoing(run, seq, "emit", topic, answered=False)


def outgoing(run: Run, seq: int, kind: str, name: str, *, answered: bool) -> Step[None]:
    step: Step[None] = Step(run, seq, kind, name)
    if answered:
        run.steps[seq] = step
    else:
        step.set_result(None)
    return step


def search(
    run: Run, ops: tuple[tuple[str, ...], ...], decode: Callable[[Any], Any] | None
) -> Step[Any]:
    """Operations on the run's fields."""
    run.check("search()")
    seq = run.next_seq()
    run.commands.append(r.Search(seq, ops, decode is not None))
    step: Step[Any] = Step(run, seq, "search", ops[0][0], decode)
    if decode is None:
        step.set_result(None)
    else:
        run.steps[seq] = step
    return step


def run_local(
    run: Run,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    act: Callable[[int], r.Act],
    name: str,
    decode: Callable[[Any], Any],
) -> Step[Any]:
    """Run a function in this worker, outside the loop, and keep what it gives."""
    step = activity(run, act, name, decode, "try_cancel")
    run.local[step.seq] = (fn, args)
    return step


def patched(run: Run, id: str, *, deprecated: bool) -> bool:
    """Whether the run takes the new path."""
    if deprecated:
        run.deprecated_patches.add(id)
    answer = run.patches.get(id)
    if answer is not None:
        return answer
    if id in run.recorded_patches:
        answer = True
    elif run.replaying:
        answer = False
    else:
        answer = True
    if (answer or deprecated) and (id in run.recorded_patches or not run.replaying):
        run.commands.append(r.Patched(id, deprecated))
    run.patches[id] = answer
    return answer


def change_attributes(run: Run, changes: dict[str, Any]) -> None:
    """Change search attributes; None removes one."""
    run.check("upsert_search_attributes")
    for name, value in changes.items():
        if value is None:
            run.attributes.pop(name, None)
        else:
            run.attributes[name] = value
    run.commands.append(r.Attributes(payloads.encode(changes, "search attributes")))


def change_memo(run: Run, changes: dict[str, Any]) -> None:
    """Change the memo."""
    run.check("upsert_memo")
    run.memo.update(changes)
    run.commands.append(r.Memo(payloads.encode(run.memo, "the memo")))


def _cancel_act(step: Step[Any]) -> bool:
    step.run.commands.append(r.ActCancel(step.seq))
    step.run.open_acts.pop(step.seq, None)
    return True


def _cancel_act_and_wait(step: Step[Any]) -> bool:
    step.run.commands.append(r.ActCancel(step.seq, True))
    return False


def _abandon(step: Step[Any]) -> bool:
    return True


def _cancel_wait(step: Step[Any]) -> bool:
    run = step.run
    run.steps.pop(step.seq, None)
    queue = run.waiting.get(step.name)
    if queue is not None and step in queue:
        queue.remove(step)
    if not run.unsay(step.seq):
        run.commands.append(r.WaitCancel(step.seq, step.name))
    return True


def _cancel_child(step: Step[Any]) -> bool:
    assert isinstance(step, ChildHandle)
    began = step.run.steps.get(-step.seq)
    if began is not None and step.run.unsay(step.seq):  # it was never asked for
        del step.run.steps[-step.seq], step.run.steps[step.seq], step.run.children[step.seq]
        return True
    step.run.commands.append(r.ChildCancel(step.seq, step.workflow_id, step.run_id))
    return True


def _cancel_child_and_wait(step: Step[Any]) -> bool:
    known = len(step.run.commands)
    _cancel_child(step)
    return len(step.run.commands) < known


_ON_CANCEL: dict[str, Callable[[Step[Any]], bool]] = {
    "try_cancel": _cancel_act,
    "wait_completed": _cancel_act_and_wait,
    "abandon": _abandon,
}


_ON_CANCEL_CHILD: dict[str, Callable[[Step[Any]], bool]] = {
    "try_cancel": _cancel_child,
    "wait_completed": _cancel_child_and_wait,
    "abandon": _abandon,
}

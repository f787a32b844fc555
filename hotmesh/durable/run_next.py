"""The run that follows a run of the same workflow id: continued as new, or tried again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.structs import replace

from hotmesh.core.durable import records as r
from hotmesh.durable import payloads
from hotmesh.durable.errors import ContinueAsNewError
from hotmesh.durable.failures import names_of
from hotmesh.durable.options import delay_ms
from hotmesh.mapping import next_match_ms

if TYPE_CHECKING:
    from hotmesh.durable.run import Run


def retried(run: Run, error: BaseException) -> r.Command | None:
    """The next run, when the workflow's own policy has one."""
    rules, begin = run.begin.retry, run.begin
    if rules is None or (rules.attempts_max and begin.attempt >= rules.attempts_max):
        return None
    if getattr(error, "non_retryable", False) or names_of(error) & set(rules.fatal):
        return None
    delay = delay_ms(rules, begin.attempt)
    return _following(run, begin.args, {}, attempt=begin.attempt + 1, delay=delay)


def continued(run: Run, error: ContinueAsNewError) -> r.Command:
    args = run.begin.args
    if error.arguments or error.options.pop("has_args", False):
        args = payloads.encode_args(error.arguments, "continue_as_new")
    return _following(run, args, error.options, attempt=1, delay=0)


def recurring(run: Run, result: Raw | None) -> r.Command | None:
    """The next run of a workflow that starts again by itself, unless it is to be cancelled; None
    for any other.

    Args:
        result: What this run gave; None when it failed.
    """
    begin = run.begin
    if not begin.cron or run.cancel_requested:
        return None
    delay = next_match_ms(begin.cron, run.now_ms) - run.now_ms
    command = _following(run, begin.args, {}, attempt=1, delay=delay)
    if result is None:
        return command
    following = r.decode_item(command.begin)
    assert isinstance(following, r.Begin)
    return replace(command, begin=r.encode_input(replace(following, last_result=result)))


def _following(
    run: Run, args: Raw, options: dict[str, Any], *, attempt: int, delay: int
) -> r.ContinueAsNew:
    begin = run.begin
    run_id = str(options.get("run_id") or uuid.UUID(int=run.ids.getrandbits(128)).hex)
    kind = str(options.get("workflow") or begin.workflow)
    carried = [r.encode_input(sent) for box in run.mailbox.values() for sent in box]
    following = replace(
        begin,
        workflow=kind,
        args=args,
        run_id=run_id,
        seed=run.ids.getrandbits(63),
        first_run_id=begin.first_run_id or begin.run_id,
        previous_run_id=begin.run_id,
        attempt=attempt,
        queue=str(options.get("task_queue") or begin.queue),
        run_ms=int(options.get("run_ms", begin.run_ms)),
        headers=options.get("headers", begin.headers),
        memo=payloads.encode(run.memo, "the memo"),
        attributes=payloads.encode(run.attributes, "the search attributes"),
        carried=tuple(carried),
        build=run.build,
    )
    return r.ContinueAsNew(r.encode_input(following), kind, delay)

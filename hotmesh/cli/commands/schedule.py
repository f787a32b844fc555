"""`hotmesh schedule`: workflows that start by themselves."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from hotmesh.cli.arguments import check_duration, read_time
from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError
from hotmesh.cli.workflows import iso, read_args
from hotmesh.durable.schedules import ScheduleAction, ScheduleSpec, check_overlap

app = App(name="schedule", help="Durable workflows that start by themselves.")

Texts = Annotated[tuple[str, ...], Parameter(negative=())]


@app.command
async def create(
    id: str,
    workflow: str,
    /,
    *args: str,
    cron: Texts = (),
    every: Texts = (),
    time_zone: str = "UTC",
    queue: str = "default",
    overlap: str = "skip",
    catch_up: str = "1h",
    jitter: str | None = None,
    paused: bool = False,
    note: str = "",
    cli: Cli,
) -> None:
    """Make a schedule.

    Args:
        id: The schedule's id; its workflows are called after it and their time.
        workflow: The name of the workflow that it starts.
        args: Its arguments, each as JSON, @file, or - for stdin.
        cron: An expression of five fields, or six with seconds first. May be repeated.
        every: An interval. May be repeated.
        time_zone: Of the expressions, such as Europe/Vienna.
        queue: The task queue of the workflow.
        overlap: skip, buffer_one, buffer_all, cancel_other, terminate_other or allow.
        catch_up: How late a time that was missed is made up for.
        jitter: Each start comes up to so much later.
        paused: Start nothing yet.
        note: A word on it.
    """
    for interval in every:
        check_duration(interval, "--every")
    check_duration(catch_up, "--catch-up")
    check_duration(jitter, "--jitter")
    if not cron and not every:
        raise UsageError("say when: --cron '0 8 * * *' or --every 1h")
    spec = ScheduleSpec(cron=cron, every=every, time_zone=time_zone, jitter=jitter)
    action = ScheduleAction(workflow, args=read_args(args), task_queue=queue)
    async with cli.durable() as client:
        await client.schedule.create(
            id,
            spec=spec,
            action=action,
            overlap=check_overlap(overlap),
            catch_up=catch_up,
            paused=paused,
            note=note,
        )
    cli.output.result({"schedule_id": id}, id)


@app.command(name="list")
async def list_schedules(*, limit: int = 100, cli: Cli) -> None:
    """List schedules, the latest made first.

    Args:
        limit: At most so many.
    """
    async with cli.durable() as client:
        found = await client.schedule.list(limit=limit)
    if cli.output.json:
        cli.output.result({"schedules": found})
        return
    if not found:
        cli.output.line("there are no schedules")
        return
    cli.output.table(
        ("id", "workflow", "overlap", "state", "next", ">running", ">started", ">skipped"),
        [
            (
                d.id,
                d.workflow,
                d.overlap,
                "paused" if d.paused else "active",
                iso(d.next[0]) if d.next else "-",
                len(d.running),
                d.started,
                d.skipped,
            )
            for d in found
        ],
    )


@app.command
async def show(id: str, /, *, cli: Cli) -> None:
    """Show a schedule: its next ten times, its last ten starts.

    Args:
        id: The schedule's id.
    """
    async with cli.durable() as client:
        found = await client.schedule.get_handle(id).describe()
    if cli.output.json:
        cli.output.result(found)
    else:
        cli.output.data(found)


@app.command
async def pause(id: str, /, *, note: str = "", cli: Cli) -> None:
    """Start nothing until it is unpaused.

    Args:
        id: The schedule's id.
        note: Why.
    """
    async with cli.durable() as client:
        await client.schedule.get_handle(id).pause(note)
    cli.output.result({"schedule_id": id, "paused": True}, f"paused {id}")


@app.command
async def unpause(id: str, /, *, note: str = "", cli: Cli) -> None:
    """Go on with the next time from now.

    Args:
        id: The schedule's id.
        note: Why.
    """
    async with cli.durable() as client:
        await client.schedule.get_handle(id).unpause(note)
    cli.output.result({"schedule_id": id, "paused": False}, f"unpaused {id}")


@app.command
async def trigger(id: str, /, *, overlap: str | None = None, cli: Cli) -> None:
    """Start its workflow now, paused or not.

    Args:
        id: The schedule's id.
        overlap: Instead of the schedule's own policy.
    """
    policy = check_overlap(overlap) if overlap else None
    async with cli.durable() as client:
        await client.schedule.get_handle(id).trigger(overlap=policy)
    cli.output.result({"schedule_id": id, "triggered": True}, f"triggered {id}")


@app.command
async def backfill(
    id: str, start: str, end: str, /, *, overlap: str = "buffer_all", cli: Cli
) -> None:
    """Start all its times of a period, as if they came now.

    Args:
        id: The schedule's id.
        start: The beginning, in ISO 8601.
        end: The end, included.
        overlap: What to do while a run goes on.
    """
    first, last = read_time(start, "START"), read_time(end, "END")
    policy = check_overlap(overlap)
    async with cli.durable() as client:
        number = await client.schedule.get_handle(id).backfill(first, last, overlap=policy)
    cli.output.result({"schedule_id": id, "times": number}, f"{number} times of {id}")


@app.command
async def delete(id: str, /, *, cli: Cli) -> None:
    """Forget a schedule; workflows that it started go on.

    Args:
        id: The schedule's id.
    """
    async with cli.durable() as client:
        await client.schedule.get_handle(id).delete()
    cli.output.result({"schedule_id": id, "deleted": True}, f"deleted {id}")

"""The commands for durable workflows, against a worker of this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from test_cli_support import Done, Terminal

from hotmesh.durable import Worker, workflow


@workflow.defn(name="order")
class Order:
    def __init__(self) -> None:
        self.total = 0

    @workflow.run
    async def main(self, id: str, total: int) -> list[object]:
        self.total = total
        (paid,) = await workflow.wait_for_signal(f"paid-{id}")
        return [id, paid]

    @workflow.query
    def sum(self, times: int = 1) -> int:
        return self.total * times


class Cli:
    """Command lines in another process, while this one serves."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    async def run(self, *lines: list[str]) -> list[Done]:
        return await asyncio.to_thread(self._terminal.batch, *lines)


@pytest.fixture
async def cli(tmp_path: Path, redis_url: str, app_id: str) -> AsyncIterator[Cli]:
    worker = await Worker.create(redis_url, namespace=app_id, workflows=[Order], grace="1s")
    async with worker:
        yield Cli(Terminal(tmp_path, HOTMESH_REDIS_URL=redis_url, HOTMESH_APP=app_id))


async def test_a_workflow_from_start_to_history(cli: Cli) -> None:
    started, asked, found, signalled, result, text, events, listed, kept, exported = await cli.run(
        ["start", "order", '"A7"', "42", "--id", "w", "--attributes", '{"customer": "Ann"}'],
        ["query", "w", "sum", "-2", "--json"],
        ["list", "customer = 'Ann' and status = 'running'", "--json"],
        ["signal", "w", "paid-A7", '{"by": "card"}'],
        ["result", "w", "--timeout", "20s", "--json"],
        ["history", "w"],
        ["history", "w", "--format", "events"],
        ["list"],
        ["history", "w", "--format", "json"],
        ["export", "w", "--json"],
    )

    assert started.out == "w\n", started.err
    assert asked.json["answer"] == -84
    assert [d["workflow_id"] for d in found.json["workflows"]] == ["w"]
    assert signalled.out == "signalled w\n"
    assert result.json["result"] == ["A7", {"by": "card"}]
    assert text.out.splitlines()[1].startswith("order ")
    assert "COMPLETE" in events.out
    assert "completed" in listed.out
    assert json.loads(kept.out)["workflow_id"] == "w"
    assert exported.json["topic"] == "order"


async def test_errors_say_what_is_wrong_in_one_line(cli: Cli) -> None:
    missing, query, argument, attributes, when, overlap, schedule = await cli.run(
        ["result", "none", "--json", "--timeout", "1s"],
        ["list", "status = running"],
        ["start", "order", "A7"],
        ["start", "order", "--attributes", "[]"],
        ["schedule", "create", "s", "order"],
        ["schedule", "trigger", "s", "--overlap", "nope"],
        ["schedule", "show", "s"],
    )

    assert missing.error["code"] == 404
    assert (query.code, "column 10" in query.err, query.err.count("\n")) == (1, True, 1)
    assert (argument.code, "argument 1 is not JSON" in argument.err) == (2, True)
    assert (attributes.code, "--attributes takes a JSON object" in attributes.err) == (2, True)
    assert (when.code, "--cron" in when.err) == (2, True)
    assert (overlap.code, "overlap is one of" in overlap.err) == (2, True)
    assert (schedule.code, "no schedule 's'" in schedule.err) == (1, True)


async def test_a_workflow_is_cancelled_and_ended(cli: Cli) -> None:
    one, two, cancelled, result, ended, count = await cli.run(
        ["start", "order", '"a"', "1", "--id", "one"],
        ["start", "order", '"b"', "1", "--id", "two"],
        ["cancel", "one", "--reason", "enough"],
        ["result", "one", "--timeout", "20s"],
        ["cancel", "two", "--terminate", "--json"],
        ["list", "--count", "status in ('canceled', 'terminated')"],
    )

    assert (one.code, two.code, cancelled.out) == (0, 0, "asked to cancel one\n")
    assert (result.code, "canceled" in result.err) == (1, True)
    assert ended.json == {"workflow_id": "two", "terminated": True}
    assert count.out == "2\n"


async def test_a_schedule_from_create_to_delete(cli: Cli) -> None:
    made, again, listed, paused, triggered, shown, filled, unpaused, gone, empty = await cli.run(
        ["schedule", "create", "s", "order", '"x"', "1", "--every", "1h", "--overlap", "allow"],
        ["schedule", "create", "s", "order", "--cron", "0 3 * * *"],
        ["schedule", "list"],
        ["schedule", "pause", "s", "--note", "later"],
        ["schedule", "trigger", "s"],
        ["schedule", "show", "s", "--json"],
        ["schedule", "backfill", "s", "2026-01-01", "2026-01-01T02:00:00Z", "--json"],
        ["schedule", "unpause", "s", "--json"],
        ["schedule", "delete", "s"],
        ["schedule", "list"],
    )

    assert made.out == "s\n", made.err
    assert (again.code, "exists already" in again.err) == (1, True)
    assert "order" in listed.out and "active" in listed.out
    assert (paused.out, triggered.out) == ("paused s\n", "triggered s\n")
    facts = shown.json
    assert (facts["paused"], facts["note"], facts["started"]) == (True, "later", 1)
    assert filled.json["times"] == 3
    assert unpaused.json == {"schedule_id": "s", "paused": False}
    assert gone.out == "deleted s\n"
    assert empty.out == "there are no schedules\n"

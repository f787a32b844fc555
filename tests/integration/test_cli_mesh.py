"""The command line over one mesh: engine and worker are processes of their own."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

import pytest
from test_cli_support import QUICKSTART, Terminal, eventually

WAITING = """
app:
  id: waiting
  version: '1'
  graphs:
    - subscribes: wait
      activities:
        start: {type: trigger}
        ask: {type: worker, topic: nobody.is.there}
      transitions:
        start: [{to: ask}]
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """The quick start, deployed, with its engine and its worker running."""
    terminal = Terminal(tmp_path_factory.mktemp("mesh"), cwd=QUICKSTART)
    try:
        engine = terminal.start("engine")
        worker = terminal.start("worker", "-A", "workers", "--json")
        engine.until("ready")
        worker.until("ready")
        ready = json.loads(worker.out)
        assert ready["event"] == "ready" and ready["topics"] == ["greet"], ready
        deployed = terminal.json("deploy", "model.yaml", "--activate")
        assert deployed["changed"] and deployed["activated"], deployed
        yield terminal
        assert [worker.stop(), engine.stop()] == [0, 0]
    finally:
        terminal.close()


def test_pubsub_goes_through_engine_and_worker(mesh: Terminal) -> None:
    output = mesh.json("pubsub", "greeting.wanted", '{"name": "Ada"}', "--job-id", "ada")

    assert output["data"] == {"greeting": "Hello, Ada!"}
    assert (output["metadata"]["jid"], output["metadata"]["js"]) == ("ada", 0)

    state, state_text, export, export_text = mesh.batch(
        ["state", "ada", "--json"],
        ["state", "ada"],
        ["--json", "export", "ada"],
        ["export", "ada"],
    )
    assert state.json["data"] == output["data"]
    assert state_text.out.endswith('{\n  "greeting": "Hello, Ada!"\n}\n')
    timeline = export.json
    assert [leg["activity"] for leg in timeline["legs"]] == ["start", "greet"]
    assert (timeline["topic"], timeline["status"]) == ("greeting.wanted", 0)
    lines = export_text.out.splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["activity", "start", "greet"]


@pytest.mark.parametrize(
    ("format", "begins"),
    [("svg", "<svg"), ("timeline", "<svg"), ("mermaid", "flowchart"), ("text", "start")],
)
def test_a_run_is_drawn(mesh: Terminal, format: str, begins: str) -> None:
    jid = f"drawn-{format}"
    mesh.ok("pubsub", "greeting.wanted", '{"name": "Ada"}', "--job-id", jid)

    drawn = mesh.ok("export", jid, "--format", format)

    assert begins in drawn and "greet" in drawn, drawn


def test_the_client_of_the_quick_start_gets_its_greeting(mesh: Terminal) -> None:
    done = mesh.run("client.py", "Grace", program=(sys.executable,))

    assert (done.stdout, done.stderr) == ("Hello, Grace!\n", "")


def test_the_spans_of_a_run_join_over_processes(mesh: Terminal) -> None:
    """Traced by the client alone here; the engine and the worker carry its context."""
    traced = {"OTEL_TRACES_EXPORTER": "console"}
    done = mesh.run("--json", "pubsub", "greeting.wanted", '{"name": "Ada"}', env=traced)

    decoder, text, spans = json.JSONDecoder(), done.stderr.strip(), []
    while text:
        span, end = decoder.raw_decode(text)
        spans.append(span)
        text = text[end:].strip()
    by_name = {span["name"]: span for span in spans}
    assert set(by_name) == {"send greeting.wanted", "run greeting.wanted", "trigger start"} | {
        "worker greet"
    }
    assert len({span["context"]["trace_id"] for span in spans}) == 1
    assert by_name["worker greet"]["parent_id"] == by_name["trigger start"]["context"]["span_id"]
    wrong = mesh.run("state", "x", env={"OTEL_TRACES_EXPORTER": "jaeger"})
    assert wrong.returncode == 2 and "may be none, console, otlp" in wrong.stderr


def test_payloads_come_from_stdin_and_files(mesh: Terminal) -> None:
    file = mesh.home.parent / "guest.json"
    file.write_text('{"name": "File"}')

    text = mesh.ok("pubsub", "greeting.wanted", f"@{file}")
    assert json.loads(text) == {"greeting": "Hello, File!"}
    jid = mesh.ok("pub", "greeting.wanted", "-", stdin='{"name": "Stdin"}').strip()
    eventually(lambda: mesh.json("state", jid)["data"], "the job has its data")
    assert mesh.json("state", jid)["data"] == {"greeting": "Hello, Stdin!"}


def test_sub_prints_results_as_they_are_published(mesh: Terminal) -> None:
    sub = mesh.start("sub", "greeting.made", "--count", "1", "--json")
    sub.until('"ready"')

    mesh.ok("pub", "greeting.wanted", '{"name": "Sub"}', "--job-id", "sub-1")

    assert sub.wait() == 0
    result = json.loads(sub.out)
    assert result["data"] == {"greeting": "Hello, Sub!"}
    assert (result["topic"], result["metadata"]["jid"]) == ("greeting.made", "sub-1")


def test_rollcall_and_plan_tell_of_the_fleet_and_the_model(mesh: Terminal) -> None:
    rollcall, plan, text = mesh.batch(
        ["rollcall", "--json"], ["plan", "model.yaml", "--json"], ["rollcall"]
    )

    roles = {role for member in rollcall.json["members"] for role in member["roles"]}
    assert roles == {"engine", "worker:greet"}
    assert text.out.splitlines()[0].startswith("member ") and "worker:greet" in text.out
    facts = [plan.json[name] for name in ("version", "active", "hot", "changed")]
    assert facts == ["1", "1", True, []]


def test_a_failed_job_is_one_line_and_exit_code_1(mesh: Terminal) -> None:
    line = ["pubsub", "greeting.wanted", '{"name": 5}']
    text, as_json = mesh.batch(line, [*line, "--json"])

    assert (text.code, text.out, text.err.count("\n")) == (1, "", 1)
    assert text.err.startswith("error: job ")
    error = as_json.error
    assert (error["code"], error["type"]) == (422, "JobError")
    assert error["job_id"] in error["message"]


def test_what_is_not_there_is_said(mesh: Terminal) -> None:
    commands = ("state", "export", "interrupt")
    text, topic, version, *jobs = mesh.batch(
        ["pub", "greeting.wantd"],
        ["pub", "greeting.wantd", "--json"],
        ["activate", "7", "--json"],
        *([command, "nobody", "--json"] for command in commands),
    )

    assert (text.code, text.err.count("\n")) == (1, 1) and "did you mean" in text.err
    assert (topic.error["code"], topic.error["near"]) == (404, ["greeting.wanted"])
    assert version.error["known"] == ["1"]
    for job in jobs:
        assert (job.error["type"], job.error["job_id"]) == ("JobNotFound", "nobody")


def test_a_running_job_is_interrupted_once(mesh: Terminal) -> None:
    mesh.ok("deploy", "-", "--activate", "--app", "waiting", stdin=WAITING)
    interrupt = ["interrupt", "w1", "--reason", "enough", "--expire", "1h"]
    lines = [
        ["pub", "wait", "--job-id", "w1"],
        ["state", "w1"],
        interrupt,
        ["state", "w1"],
        interrupt,
        ["pubsub", "wait", "--timeout", "200ms"],
    ]

    started, running, interrupted, ended, again, late = mesh.batch(
        *([*line, "--app", "waiting", "--json"] for line in lines)
    )

    assert started.json == {"job_id": "w1"}
    assert running.json["metadata"]["js"] == 1
    assert interrupted.json == {"job_id": "w1", "interrupted": True}
    error = ended.json["metadata"]["err"]
    assert (error["code"], error["message"]) == (410, "enough")
    assert again.error["type"] == "JobEnded"
    assert (late.error["type"], late.error["code"]) == ("JobTimeout", 504)

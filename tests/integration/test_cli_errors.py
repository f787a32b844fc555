"""Wrong use, and what has no server to work on: exit codes and one-line errors."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from test_cli_support import COMMAND, QUICKSTART, ROOT, Done, Running, Terminal

FAULTY = """app:
  id: faulty
  version: '1'
  graphs:
    - subscribes: a.b
      activities:
        start: {type: trigger}
        one: {type: worker, topic: x, input: {maps: {x: '{nobody.output.data.x}'}}}
      transitions:
        start: [{to: one}, {to: two}]
"""

USAGE: dict[str, tuple[list[str], str]] = {
    "unknown command": (["pubb", "x"], "there is no command 'pubb', did you mean 'pub'?"),
    "unknown command of a group": (["dlq", "lst"], "did you mean 'list'?; see hotmesh dlq --help"),
    "unknown option": (["pub", "x", "--jobid", "1"], "'--jobid', did you mean '--job-id'?"),
    "unknown option for all": (["pub", "x", "--jsno"], "'--jsno', did you mean '--json'?"),
    "missing argument": (["pub"], "TOPIC is missing; see hotmesh pub --help"),
    "missing option": (["worker", "--app", "a"], "--workers is missing"),
    "missing value": (["pub", "x", "--job-id"], "--job-id needs a value"),
    "too many arguments": (["pub", "a", "{}", "c"], "one argument too many, 'c'"),
    "bad JSON": (["pub", "x", "{bad", "--app", "a"], "the payload is not JSON: "),
    "bad JSON file": (["pub", "x", "@missing.json", "--app", "a"], "can't be read from missing.js"),
    "no app": (["pub", "x"], "which app? set it with --app, HOTMESH_APP or 'app' in hotmesh.toml"),
    "bad app": (["pub", "x", "--app", "a b"], "app id 'a b' must be"),
    "bad duration": (
        ["pubsub", "x", "--timeout", "soon", "--app", "a"],
        "--timeout: 'soon' is not",
    ),
    "bad number": (["sub", "x", "--count", "many"], "--count"),
    "negative number": (["sub", "x", "--count", "-1"], "--count is 0 or more, not -1"),
    "bad setting": (["pub", "x", "--lease", "soon"], "set it with --lease, HOTMESH_LEASE or"),
    "unknown setting": (["pub", "x", "--set", "leas=1s"], "did you mean 'lease'?"),
    "setting without value": (["pub", "x", "--set", "lease"], "--set takes KEY=VALUE"),
    "bad URL": (["rollcall", "--app", "a", "--redis", "http://x"], "--redis has the scheme http"),
    "no such model": (["check", "missing.yaml"], "missing.yaml does not exist"),
    "a directory for a model": (["deploy", "."], ". is a directory"),
    "no such module": (["worker", "-A", "nowhere", "--app", "a"], "there is no module 'nowhere'"),
    "broken module": (["worker", "-A", "broken", "--app", "a"], "ZeroDivisionError: division by "),
    "nothing in the module": (["worker", "-A", "wrk:wrkers", "--app", "a"], "did you mean 'work"),
    "wrong kind of workers": (
        ["worker", "-A", "wrk:other", "--app", "a"],
        "wrk:other is int; it m",
    ),
    "bad -A": (["worker", "-A", "wrk:", "--app", "a"], "-A takes MODULE:OBJ"),
    "no letters named": (["dlq", "drop", "--app", "a"], "give the ids of dead letters, or --all"),
    "letters and all": (["dlq", "drop", "0:1-1", "--all", "--app", "a"], "or --all"),
    "bad rule": (["pipe", '{"@pipe": [[}'], "the rule is neither JSON"),
    "bad context": (["pipe", "1", "[]"], "the context is a JSON object"),
    "bad time": (["pipe", "1", "--now", "noon"], "--now: 'noon' is no time"),
    "demo with a model": (["dev", "m.yaml", "--demo"], "--demo brings its own model"),
    "stay without demo": (["dev", "--stay"], "--stay belongs to --demo"),
}


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("errors")
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "wrk.py").write_text("workers = []\nother = 1\n")
    (folder / "faulty.yaml").write_text(FAULTY)
    terminal = Terminal(folder)
    yield terminal
    terminal.close()


@pytest.fixture(scope="module")
def down(terminal: Terminal) -> Running:
    """A command that looks for a server in vain: it takes its 5 s while others are tested."""
    return terminal.start("rollcall", "--app", "a", "--redis", "redis://127.0.0.1:1")


@pytest.fixture(scope="module")
def answers(terminal: Terminal, down: Running) -> dict[str, Done]:
    """What every line of `USAGE` does, for people and as JSON."""
    lines = [args for args, _ in USAGE.values()]
    results = terminal.batch(*lines, *(["--json", *args] for args in lines))
    return dict(zip([*USAGE, *(f"{name}, JSON" for name in USAGE)], results, strict=True))


@pytest.mark.parametrize("name", USAGE)
def test_wrong_use_is_one_line_and_exit_code_2(answers: dict[str, Done], name: str) -> None:
    code, out, err = answers[name]

    assert USAGE[name][1] in err
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ")


@pytest.mark.parametrize("name", USAGE)
def test_wrong_use_is_an_object_with_json(answers: dict[str, Done], name: str) -> None:
    code, out, err = answers[f"{name}, JSON"]

    error = json.loads(err)["error"]
    assert (code, out, error["code"]) == (2, "", 400)
    assert USAGE[name][1] in error["message"]


def test_every_fault_of_a_model_is_printed(terminal: Terminal) -> None:
    checked, as_json, deployed, other = terminal.batch(
        ["check", "faulty.yaml"],
        ["check", "faulty.yaml", "--json"],
        ["deploy", "faulty.yaml"],
        ["check", "faulty.yaml", "--app", "other"],
    )

    *faults, summary = checked.out.splitlines()
    assert checked.code == 1 and len(faults) >= 2
    assert summary.startswith(f"{len(faults)} faults, ")
    for number, path in ((8, "graphs[0].activities.one.input.maps.x"), (10, "transitions.start")):
        assert any(f.startswith(f"faulty.yaml:{number}:") and path in f for f in faults), faults

    found = json.loads(as_json.out)
    assert not found["ok"] and len(found["findings"]) == len(faults)
    assert {f["line"] for f in found["findings"]} >= {8, 10}

    assert (deployed.code, deployed.out) == (1, "")
    *lines, last = deployed.err.splitlines()
    assert lines == faults and last.startswith(f"error: the model has {len(faults)} faults")
    assert not terminal.home.exists(), "no server is started for a model with faults"

    assert "the model is of app 'faulty', and this is app 'other'" in other.out


def test_settings_are_shown_masked_and_with_their_origin(terminal: Terminal) -> None:
    secret = ["--redis", "redis://u:secret@h:1"]
    as_json, text = terminal.batch(
        ["--show-config", "--json", *secret], ["pub", "x", "--show-config", *secret]
    )

    shown = as_json.json
    assert shown["redis"] == {"value": "redis://u:***@h:1", "origin": "--redis"}
    assert shown["home"]["origin"] == "HOTMESH_HOME"
    assert "secret" not in text.out and "HOTMESH_WORKER_CONCURRENCY" in text.out


def test_rules_are_evaluated(terminal: Terminal) -> None:
    product, undefined, fault, pinned = terminal.batch(
        ["pipe", '{"@pipe": [["{t.n}", 2], ["{@math.multiply}"]]}', '{"t": {"n": 21}}'],
        ["pipe", "{t.x}", "--json"],
        ["--json", "pipe", '{"@pipe": [[1], ["{@math.nothing}"]]}'],
        ["pipe", '{"@pipe": [["{@date.now}"]]}', "--now", "2026-01-31T12:00:00Z"],
    )

    assert product.out == "42\n"
    assert undefined.json == {"undefined": True}
    assert fault.error["type"] == "MappingError"
    assert pinned.out == "1769860800000\n"
    assert terminal.json("pipe", "{t.n}", "-", stdin='{"t": {"n": [1]}}') == {"value": [1]}


def test_a_model_is_drawn_without_a_server(terminal: Terminal) -> None:
    model = str(QUICKSTART / "model.yaml")

    text, svg, mermaid, data = terminal.batch(
        ["graph", model],
        ["graph", model, "--format", "svg"],
        ["graph", model, "--format", "mermaid"],
        ["graph", model, "--json"],
    )

    assert "greet" in text.out and "greet" in mermaid.out and "flowchart" in mermaid.out
    assert svg.out.startswith("<svg") and svg.out.endswith("</svg>\n")
    assert {node["id"] for node in data.json[0]["nodes"]} >= {"start", "greet"}


def test_the_schema_is_json_and_help_names_every_command(terminal: Terminal) -> None:
    schema, text = terminal.batch(["schema"], ["--help"])

    assert schema.json["properties"]["app"]
    for module in (ROOT / "hotmesh/cli/commands").glob("[a-z]*.py"):
        assert f" {module.stem} " in text.out


def test_tracebacks_are_shown_only_when_asked_for(terminal: Terminal) -> None:
    line = ["worker", "-A", "broken", "--app", "a"]
    asked = Terminal(terminal.home.parent, HOTMESH_DEBUG="1")

    assert "Traceback" not in terminal.run(*line).stderr
    assert "Traceback" in asked.run(*line).stderr


def test_a_closed_pipe_is_no_error(terminal: Terminal) -> None:
    line = " ".join([*COMMAND, "schema", "|", "head", "-c", "10"])
    done = terminal.run("-c", line, program=("sh",))

    assert (len(done.stdout), done.stderr) == (10, "")


def test_a_server_that_is_down_is_one_line(terminal: Terminal, down: Running) -> None:
    assert down.wait() == 1
    assert (down.out, down.err.count("\n")) == ("", 1)
    assert down.err.startswith("error: no connection to Redis at 127.0.0.1:1")
    assert "--redis" in down.err

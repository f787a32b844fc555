"""What a model may be given as, what YAML means in it, and where everything stands."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model import (
    Conditions,
    Cycle,
    Hook,
    Loaded,
    Trigger,
    Worker,
    load,
    retry_rules,
    validates,
)
from hotmesh.model.compose import BYTES_MAX, compose

TEXT = """\
app:
  id: demo
  version: 1.10
  graphs:
    - subscribes: demo.start
      activities:
        t:
          type: trigger
          job:
            maps:
              yes: on
              no: 'off'
              since: 2024-01-01
        wait: {type: activity}
      transitions:
        t:
          - to: wait
      hooks:
        demo.go.on:
          - to: wait
            conditions:
              match: [{expected: '{$job.metadata.jid}', actual: '{$self.hook.data.id}'}]
"""

SHOULD_FAIL = ("84-deploy-duplicate-id", "85-deploy-no-trigger", "86-deploy-unknown-target")


def tiny(**more: Any) -> dict[str, Any]:
    graph = {"subscribes": "demo.start", "activities": {"t": {"type": "trigger"}}}
    return {"app": {"id": "demo", "version": "1", "graphs": [graph], **more}}


def one(text: str) -> Finding:
    with pytest.raises(ModelInvalid) as caught:
        load(text)
    assert len(caught.value.findings) == 1, caught.value
    return caught.value.findings[0]


def test_every_conformance_model_loads_and_has_no_errors(
    models: Path, judge: Callable[..., list[Finding]]
) -> None:
    files = sorted(models.glob("*.yaml"))
    refused = {f.stem for f in files if any(x.severity == "error" for x in judge(f))}

    assert len(files) == 89
    assert refused == set(SHOULD_FAIL)


def test_the_model_of_the_original_readme_loads(judge: Callable[..., list[Finding]]) -> None:
    text = """
app:
  id: sandbox
  version: '1'
  graphs:
    - subscribes: sandbox.work.do
      publishes: sandbox.work.done

      activities:
        gateway:
          type: trigger
        servicec:
          type: worker
          topic: sandbox.work.do.servicec

      transitions:
        gateway:
          - to: servicec
"""
    assert judge(text) == []


def test_a_path_a_text_and_a_mapping_give_the_same_app(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_text(TEXT)
    by_text = load(TEXT)

    assert by_text.app.version == "1.10"
    assert load(file).app == by_text.app
    assert load(str(file)).app == by_text.app
    again = load({**by_text.raw, "app": {**by_text.raw["app"], "version": "1.10"}})
    assert again.app == by_text.app
    assert load(MappingProxyType(again.raw)).app == by_text.app
    assert [load(x).name for x in (file, TEXT, again.raw)] == [str(file), "<text>", "<dict>"]


def test_a_json_text_is_a_text() -> None:
    text = msgspec.json.encode(tiny()).decode()

    assert load(text).app.id == "demo"


def test_yaml_words_of_other_versions_are_text() -> None:
    maps = load(TEXT).raw["app"]["graphs"][0]["activities"]["t"]["job"]["maps"]

    assert maps == {"yes": "on", "no": "off", "since": "2024-01-01"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("~", None),
        ("null", None),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("0b11", "0b11"),
        ("+1", 1),
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!int 5", 5),
        ("'5'", "5"),
        ("-", None),
        ("18446744073709551615", 18446744073709551615),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found = compose(f"x: {text}" if text != "-" else "x:", "f")[0].value["x"]

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("version", ["1", "1.10", "0o7", "true", "1e3", "'2'", "v2-rc.1+x"])
def test_a_version_keeps_its_text(version: str) -> None:
    assert load(TEXT.replace("1.10", version)).app.version == version.strip("'")


def test_old_names_are_understood() -> None:
    text = TEXT.replace("{type: activity}", "{type: worker, subtype: x.y}").partition(
        "      hooks"
    )[0]

    activities = load(text).app.graphs[0].activities
    assert isinstance(activities["wait"], Worker)
    assert activities["wait"].topic == "x.y"
    assert isinstance(load(TEXT).app.graphs[0].activities["wait"], Hook)
    assert isinstance(activities["t"], Trigger)


def test_number_keys_of_a_mapping_read_as_in_yaml() -> None:
    model = tiny()
    model["app"]["graphs"][0]["activities"]["w"] = {
        "type": "worker",
        "topic": "x",
        "retry": {503: [3]},
    }

    worker = load(model).app.graphs[0].activities["w"]
    assert isinstance(worker, Worker)
    assert worker.retry == {"503": [3]}


def test_later_changes_of_a_given_mapping_change_nothing() -> None:
    model = tiny(settings={"a": [1]})
    loaded = load(model)

    model["app"]["settings"]["a"].append(2)

    assert loaded.app.settings == {"a": [1]}


# -- positions


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [
        ("", 1, 1),
        ("id", 2, 7),
        ("graphs", 4, 3),
        ("graphs[0]", 5, 7),
        ("graphs[0].subscribes", 5, 19),
        ("graphs[0].activities.t", 7, 9),
        ("graphs[0].activities.t.job.maps.no", 12, 19),
        ("graphs[0].transitions.t[0].to", 17, 17),
        ("graphs[0].hooks.demo.go.on", 19, 9),
        ("graphs[0].hooks.demo.go.on[0].conditions.match[0].actual", 22, 65),
        ("graphs[0].activities.t.input.maps.x", 7, 9),
        ("nowhere", 1, 1),
    ],
)
def test_where_gives_the_place_of_a_path(path: str, line: int, column: int) -> None:
    assert load(TEXT).where(path) == ("<text>", line, column)


def test_where_takes_a_tuple_and_can_point_at_the_key() -> None:
    loaded = load(TEXT)

    assert loaded.where(("graphs", 0, "subscribes"), key=True) == ("<text>", 5, 7)


def test_a_mapping_has_no_positions() -> None:
    assert load(tiny()).where("graphs[0].subscribes") == ("<dict>", 0, 0)


# -- what can't be read


@pytest.mark.parametrize(
    ("source", "fragment"),
    [
        ("no/such/file.yaml", "does not exist"),
        (".", "is a folder"),
        ("x\0y", "does not exist"),
        ("x" * 5000, "can't be read"),
        (5, "not int"),
        (b"app:", "not bytes"),
        ("", "the document is empty"),
        (" \n", "the document is empty"),
        ("# only a comment\n", "the document is empty"),
        ({}, "`app` is missing"),
        ({"app": {1, 2}}, "not set"),
        ({"app": tiny, 3.5: 1}, "a key must be text, not float"),
        ({"app": {"id": 1 << 70}}, "over 64 bits"),
        ({"app": {"id": "\ud800"}}, "surrogate"),
    ],
)
def test_what_is_no_model_is_refused_with_a_reason(source: Any, fragment: str) -> None:
    with pytest.raises(ModelInvalid) as caught:
        load(source)

    assert fragment in str(caught.value)


def test_a_mapping_that_contains_itself_is_refused() -> None:
    model = tiny()
    model["app"]["settings"] = model

    with pytest.raises(ModelInvalid, match="nested deeper than 64"):
        load(model)


def test_a_text_and_a_file_over_the_limit_are_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_bytes(b"# " + b"x" * BYTES_MAX)

    for source in (file, file.read_text()):
        with pytest.raises(ModelInvalid, match="over 8 MiB"):
            load(source if isinstance(source, Path) else source + "\n")


def test_deep_nesting_is_refused() -> None:
    assert "deeper than 64" in one("app: " + "[" * 5000).message


def test_too_many_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelInvalid, match="more than"):
        compose("[" + "1," * 200 + "]", "f", nodes_max=100)


def test_a_byte_order_mark_of_utf_8_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "demo.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())

    assert load(file).app.id == "demo"
    assert load("\ufeff" + TEXT).app.id == "demo"


@pytest.mark.parametrize(
    ("data", "fragment", "line", "column"),
    [
        (TEXT.encode("utf-16"), "UTF-16; save it as UTF-8", 1, 1),
        (b"app:\n  id: \xff\n", "not UTF-8 here", 2, 7),
    ],
)
def test_other_encodings_are_refused(
    data: bytes, fragment: str, line: int, column: int, tmp_path: Path
) -> None:
    file = tmp_path / "demo.yaml"
    file.write_bytes(data)

    with pytest.raises(ModelInvalid) as caught:
        load(file)

    (finding,) = caught.value.findings
    assert fragment in finding.message
    assert (finding.file, finding.line, finding.column) == (str(file), line, column)


def test_a_pipe_or_device_is_not_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.yaml"
    os.mkfifo(fifo)

    with pytest.raises(ModelInvalid, match="is no file"):
        load(fifo)


def test_all_faults_of_the_shape_are_told_at_once() -> None:
    text = """\
app:
  id: demo
  version: '1'
  graphs:
    - subscribes: 5
      activities:
        t: {type: triger}
        w: {type: worker, topc: x}
      transitions:
        t: [{to: w, code: 3}]
    - publishes: x
      activities: []
"""
    with pytest.raises(ModelInvalid) as caught:
        load(text)

    assert [(f.line, f.path) for f in caught.value.findings] == [
        (5, "graphs[0].subscribes"),
        (7, "graphs[0].activities.t.type"),
        (8, "graphs[0].activities.w.topc"),
        (10, "graphs[0].transitions.t[0].code"),
        (11, "graphs[1]"),
        (12, "graphs[1].activities"),
    ]


def test_the_number_of_findings_is_bounded(judge: Callable[..., list[Finding]]) -> None:
    model = tiny()
    model["app"]["graphs"][0]["activities"] = {
        f"x{n}": {"type": "hook", "job": {"maps": {"a": "{y.output.data.z}"}}} for n in range(2000)
    }

    assert len(judge(model)) == 200


# -- what the structs compute


def test_retry_rules_of_a_table_and_of_a_policy() -> None:
    table = retry_rules({"503": [3], "429": [1, "x"]})
    (policy,) = retry_rules(
        {"maximum_attempts": 5, "initial_interval": "2s", "maximum_interval": "1m", "codes": [500]}
    )
    (default,) = retry_rules({"maximum_attempts": 3})

    assert [(r.codes, r.attempts_max, r.initial_ms, r.factor, r.jitter) for r in table] == [
        ((503,), 4, 10, 10.0, 0.0),
        ((429,), 2, 10, 10.0, 0.0),
    ]
    assert (policy.attempts_max, policy.initial_ms, policy.delay_ms_max) == (5, 2000, 60_000)
    assert (policy.factor, policy.codes) == (2.0, (500,))
    assert (default.initial_ms, default.delay_ms_max, default.codes) == (1000, 100_000, ())
    assert retry_rules(None) == retry_rules({}) == ()


def test_the_innermost_validate_decides() -> None:
    model = tiny(validate=True)
    graph = model["app"]["graphs"][0]
    graph["activities"]["h"] = {"type": "hook", "validate": False}
    model["app"]["graphs"].append({**graph, "subscribes": "x", "validate": False})
    app = load(model).app

    assert validates(app, app.graphs[0])
    assert not validates(app, app.graphs[0], app.graphs[0].activities["h"])
    assert not validates(app, app.graphs[1], app.graphs[1].activities["t"])


def test_a_condition_knows_whether_success_satisfies_it() -> None:
    assert Conditions().takes_success
    assert Conditions(code=(422, "2**")).takes_success
    assert not Conditions(code="5**").takes_success
    assert not Conditions(code=503).takes_success


# -- what a graph may be


def test_joins_and_items_are_part_of_the_language(judge: Callable[..., list[Finding]]) -> None:
    text = """
app:
  id: demo
  version: '1'
  graphs:
    - subscribes: demo.start
      activities:
        t: {type: trigger}
        a: {type: worker, topic: x, each: '{t.output.data.l}', concurrency: 3}
        b: {type: worker, topic: x}
        c: {type: hook, join: all, job: {maps: {x: '{a.output.data.x}', y: '{b.output.data.x}'}}}
        d: {type: hook, job: {maps: {z: '{a.output.data.x}'}}}
      transitions:
        t: [{to: a}, {to: b}]
        a: [{to: c}]
        b: [{to: c}]
        c: [{to: d}]
"""
    assert judge(text) == []


def test_a_signal_to_all_needs_the_index_of_the_waiting_graph(
    models: Path, judge: Callable[..., list[Finding]]
) -> None:
    text = (models / "49-signal-all.yaml").read_text()

    assert judge(text) == []
    (near,) = judge(text.replace("key_name: camp", "key_name: champ"))
    assert "did you mean 'camp'?" in near.message
    (none,) = judge(text.replace("measure: index", "measure: count"))
    assert "keeps no index of 'camp'" in none.message
    (missing,) = judge(text.replace("          key_value: '{st.output.data.camp}'\n", ""))
    assert "`key_value` is missing" in missing.message


def test_a_cycle_goes_back_to_what_comes_before(judge: Callable[..., list[Finding]]) -> None:
    text = """
app:
  id: demo
  version: '1'
  graphs:
    - subscribes: demo.start
      activities:
        t: {type: trigger}
        a: {type: hook}
        b: {type: hook}
        c: {type: cycle, ancestor: a}
      transitions:
        t: [{to: a}, {to: b}]
        b: [{to: c}]
"""
    (finding,) = judge(text)

    assert "'a' does not come before 'c'" in finding.message
    assert judge(text.replace("b: [{to: c}]", "a: [{to: c}]")) == []
    assert isinstance(load(text).app.graphs[0].activities["c"], Cycle)


def test_a_long_chain_is_no_problem(judge: Callable[..., list[Finding]]) -> None:
    model = tiny()
    graph = model["app"]["graphs"][0]
    for n in range(3000):
        graph["activities"][f"h{n}"] = {
            "type": "hook",
            "job": {"maps": {f"k{n}": "{h0.output.data.x}"}},
        }
    chain = ["t", *(f"h{n}" for n in range(3000))]
    graph["transitions"] = {a: [{"to": b}] for a, b in pairwise(chain)}

    assert judge(model) == []
    graph["transitions"]["h2999"] = [{"to": "h0"}]
    assert [
        "circle: h0 → h1 → h2 → h3 → … → h2997 → h2998 → h2999 → h0" in f.message
        for f in judge(model)
    ] == [True]


def test_a_loaded_model_says_where_it_came_from(models: Path) -> None:
    loaded = load(models / "01-trigger-only.yaml")

    assert isinstance(loaded, Loaded)
    assert loaded.name.endswith("01-trigger-only.yaml")
    assert loaded.where("graphs[0].activities.start.job.maps.origin")[1:] == (12, 23)

"""`$ref`: other files of the model's folder, in place and with their own positions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model import load

TOP = """\
app:
  id: demo
  version: {$ref: ./version.yaml#/version}
  graphs:
    - $ref: ./graphs/send.yaml
"""
SEND = """\
subscribes: demo.send
input:
  schema: {$ref: ../schemas.yaml#/parcel}
activities:
  t:
    $ref: ./parts.yaml#/trigger
  w: {type: worker, topic: x}
transitions:
  t: [{$ref: './parts.yaml#/edges/0'}]
"""
PARTS = """\
trigger: {type: trigger, job: {maps: {a~b: 1}}}
edges:
  - to: w
"""
SCHEMAS = """\
parcel:
  $defs: {size: {type: integer}}
  properties:
    size: {$ref: '#/$defs/size'}
    kind: {$ref: '#/kind'}
    part: {$ref: '#'}
kind: {enum: [s, m]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "model"
    write(root, "app.yaml", TOP)
    write(root, "graphs/send.yaml", SEND)
    write(root, "graphs/parts.yaml", PARTS)
    write(root, "schemas.yaml", SCHEMAS)
    write(root, "version.yaml", "version: 1.20\n")
    write(tmp_path, "secret.yaml", "a: 1\n")
    return root


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def findings(source: Any, base: Path | None = None) -> list[Finding]:
    with pytest.raises(ModelInvalid) as caught:
        load(source, base=base)
    return list(caught.value.findings)


def test_files_are_put_in_place(folder: Path) -> None:
    loaded = load(folder / "app.yaml")
    graph = loaded.app.graphs[0]

    assert loaded.app.version == "1.20"
    assert graph.subscribes == "demo.send"
    assert graph.transitions["t"][0].to == "w"
    assert load(loaded.raw | {"app": loaded.raw["app"] | {"version": "1.20"}}).app == loaded.app


def test_positions_point_into_the_file_that_holds_the_value(folder: Path) -> None:
    loaded = load(folder / "app.yaml")

    def place(path: str) -> tuple[str, int, int]:
        file, line, column = loaded.where(path)
        return str(Path(file).relative_to(folder)), line, column

    assert place("id") == ("app.yaml", 2, 7)
    assert place("version") == ("version.yaml", 1, 10)
    assert place("graphs[0]") == ("graphs/send.yaml", 1, 1)
    assert place("graphs[0].subscribes") == ("graphs/send.yaml", 1, 13)
    assert place("graphs[0].activities.t") == ("graphs/send.yaml", 5, 3)
    assert place("graphs[0].activities.t.type") == ("graphs/parts.yaml", 1, 17)
    assert place("graphs[0].transitions.t[0].to") == ("graphs/parts.yaml", 3, 9)


def test_a_schema_keeps_the_references_that_are_its_own(folder: Path) -> None:
    graph = load(folder / "app.yaml").app.graphs[0]

    assert graph.input is not None
    assert graph.input.schema["properties"] == {
        "size": {"$ref": "#/$defs/size"},
        "kind": {"enum": ["s", "m"]},
        "part": {"$ref": "#"},
    }


def test_a_text_and_a_mapping_need_a_base(folder: Path) -> None:
    (finding,) = findings("app:\n  $ref: ./app.yaml#/app\n")

    assert "pass base=" in finding.message
    assert (finding.file, finding.line, finding.path) == ("<text>", 2, "$ref")
    assert load(TOP, base=folder).app.version == "1.20"
    assert load({"app": {"$ref": "./app.yaml#/app"}}, base=folder).app.id == "demo"


def test_a_reference_within_a_text_needs_no_base() -> None:
    text = """\
app:
  id: demo
  version: '1'
  settings: {t: {type: trigger}}
  graphs:
    - subscribes: x
      activities: {t: {$ref: '#/app/settings/t'}}
"""
    assert list(load(text).app.graphs[0].activities) == ["t"]


@pytest.mark.parametrize(
    "ref", ["../secret.yaml", "./graphs/../../secret.yaml", "link.yaml", "%2e%2e/secret.yaml"]
)
def test_nothing_outside_the_folder_is_opened(ref: str, folder: Path) -> None:
    (folder / "link.yaml").symlink_to(folder.parent / "secret.yaml")
    write(folder, "app.yaml", f"app:\n  id: demo\n  graphs: {{$ref: '{ref}'}}\n")

    (finding,) = findings(folder / "app.yaml")

    assert "leads out of the model's folder" in finding.message
    assert (finding.line, finding.path) == (3, "graphs.$ref")


@pytest.mark.parametrize(
    ("ref", "fragment"),
    [
        ("/etc/passwd", "must be a relative path"),
        ("https://example.com/x.yaml", "must be a relative path"),
        ("~/x.yaml", "must be a relative path"),
        ("./none.yaml", "'./none.yaml': does not exist"),
        ("./graphs", "'./graphs': is a folder"),
        ("./version.yaml#/vresion", "did you mean 'version'?"),
        ("./version.yaml#version", "a pointer begins with '#/'"),
        ("#/app/graphs/9", "nothing at '#/app/graphs/9'"),
    ],
)
def test_references_that_lead_nowhere(ref: str, fragment: str, folder: Path) -> None:
    write(folder, "app.yaml", f"app:\n  id: demo\n  graphs: [{{$ref: '{ref}'}}]\n")

    (finding,) = findings(folder / "app.yaml")

    assert fragment in finding.message
    assert (finding.line, finding.column, finding.path) == (3, 19, "graphs[0].$ref")


def test_a_fault_in_a_referenced_file_is_told_with_its_file(folder: Path) -> None:
    write(folder, "graphs/send.yaml", "subscribes: demo.send\nactivities:\n\tt: 1\n")

    (finding,) = findings(folder / "app.yaml")

    assert finding.file == str(folder / "graphs" / "send.yaml")
    assert finding.line == 3


def test_a_wrong_shape_in_a_referenced_file_is_told_with_its_file_and_model_path(
    folder: Path,
) -> None:
    write(folder, "graphs/parts.yaml", PARTS.replace("type: trigger", "type: tigger"))

    (finding,) = findings(folder / "app.yaml")

    assert finding.file == str(folder / "graphs" / "parts.yaml")
    assert finding.path == "graphs[0].activities.t.type"


def test_circles_are_told_with_their_chain(folder: Path) -> None:
    write(folder, "graphs/send.yaml", "subscribes: {$ref: ./parts.yaml}\n")
    write(folder, "graphs/parts.yaml", "a:\n  $ref: ./send.yaml\n")

    (finding,) = findings(folder / "app.yaml")

    assert "circle" in finding.message
    assert "send.yaml → " in finding.message.replace(str(folder), "")
    assert finding.file == str(folder / "graphs" / "parts.yaml")


def test_a_value_that_holds_itself_is_a_circle() -> None:
    (finding,) = findings("app:\n  id: demo\n  settings: {$ref: '#/app'}\n")

    assert "#/app → <text>#/app" in finding.message


def test_siblings_of_a_reference_are_refused(folder: Path) -> None:
    write(folder, "app.yaml", "app:\n  graphs:\n    - $ref: ./graphs/send.yaml\n      expire: 5\n")

    (finding,) = findings(folder / "app.yaml")

    assert "'expire' stands beside $ref" in finding.message
    assert (finding.line, finding.path) == (4, "graphs[0].expire")


def test_references_that_multiply_are_stopped(folder: Path) -> None:
    for level in range(8):
        write(folder, f"l{level}.yaml", "[" + f"{{$ref: ./l{level + 1}.yaml}}," * 10 + "]\n")
    write(folder, "l8.yaml", "[" + "1," * 100 + "]\n")
    write(folder, "app.yaml", "app:\n  settings: {$ref: ./l0.yaml}\n")

    assert any("more than 1,000,000 values" in f.message for f in findings(folder / "app.yaml"))


def test_all_broken_references_are_told_at_once(folder: Path) -> None:
    write(folder, "app.yaml", "app:\n  id: {$ref: ./a.yaml}\n  graphs: {$ref: ./b.yaml}\n")

    assert [f.line for f in findings(folder / "app.yaml")] == [2, 3]

"""The reference of the Python names has every public name, with the signature that it has."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import hotmesh
from hotmesh import HotMesh, Router, errors, mapping
from hotmesh.errors import HotMeshError
from hotmesh.mesh.fleet import QuorumMessage
from hotmesh.mesh.options import HookAllResult, PlanResult
from hotmesh.mesh.output import JobMetadata
from hotmesh.mesh.timeline import Timeline, TimelineEdge, TimelineLeg
from hotmesh.messages import StreamMetadata
from hotmesh.quorum import Part, Profile

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "api.md"
TEXT = PAGE.read_text()
HEADINGS = re.findall(r"^#### `(?:await |async with )?(.+)`$", TEXT, re.M)

METHODS = [name for name in vars(HotMesh) if not name.startswith("_")]
STRUCTS: list[Any] = [
    getattr(hotmesh, name)
    for name in hotmesh.__all__
    if hasattr(getattr(hotmesh, name), "__struct_fields__")
]
INNER = [
    JobMetadata,
    StreamMetadata,
    PlanResult,
    HookAllResult,
    Timeline,
    TimelineLeg,
    TimelineEdge,
    Profile,
    Part,
    QuorumMessage,
]
ERRORS = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, HotMeshError)
}


def signature_of(call: Any, name: str) -> str:
    """`name(…)` without types, `self` and `cls`."""
    signature = inspect.signature(call)
    empty = inspect.Parameter.empty
    parameters = [
        p.replace(annotation=empty) for n, p in signature.parameters.items() if n != "self"
    ]
    return name + str(signature.replace(parameters=parameters, return_annotation=empty))


def heading_of(name: str) -> str:
    found = [heading for heading in HEADINGS if heading.partition("(")[0] == name]
    assert found, f"{PAGE.name} has no heading for {name}"
    return found[0]


@pytest.mark.parametrize("name", METHODS)
def test_method_is_there_with_its_signature(name: str) -> None:
    static = vars(HotMesh)[name]
    owner = "HotMesh" if isinstance(static, (classmethod, staticmethod)) else "mesh"

    assert heading_of(f"{owner}.{name}") == signature_of(getattr(HotMesh, name), f"{owner}.{name}")


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda s: s.__name__)
def test_struct_is_there_with_its_signature(struct: Any) -> None:
    assert heading_of(struct.__name__) == signature_of(struct, struct.__name__)


@pytest.mark.parametrize("name", ["evaluate", "evaluate_maps", "evaluate_condition"])
def test_mapping_function_is_there_with_its_signature(name: str) -> None:
    assert heading_of(name) == signature_of(getattr(mapping, name), name)


@pytest.mark.parametrize("struct", [*STRUCTS, *INNER], ids=lambda s: s.__name__)
def test_field_is_named(struct: Any) -> None:
    missing = [name for name in struct.__struct_fields__ if f"`{name}`" not in TEXT]

    assert not missing


@pytest.mark.parametrize("name", hotmesh.__all__)
def test_exported_name_is_named(name: str) -> None:
    assert f"\n## {name}\n" in TEXT or f"| `{name}` |" in TEXT


@pytest.mark.parametrize("name", ERRORS)
def test_error_has_its_row_and_code(name: str) -> None:
    row = re.search(rf"^\| `{name}` \| ([^|]+) \|", TEXT, re.M)
    assert row, f"{PAGE.name} has no row for {name}"

    assert row[1] == ("as the job" if name == "JobError" else str(ERRORS[name].code))


def test_page_has_no_heading_for_what_is_gone() -> None:
    known = {f"HotMesh.{m}" for m in METHODS} | {f"mesh.{m}" for m in METHODS}
    known |= {s.__name__ for s in STRUCTS} | set(mapping.__all__)

    assert {heading.partition("(")[0] for heading in HEADINGS} <= known


def test_every_name_of_the_router_is_there() -> None:
    names = [n for n in vars(Router) if not n.startswith("_")]
    missing = [n for n in names if f"router.{n}" not in TEXT]
    assert not missing

    for call in (Router.__init__, Router.subscribe, Router.route):
        arguments = [n for n in inspect.signature(call).parameters if n not in ("self", "path")]
        assert not [n for n in arguments if f"`{n}`" not in TEXT and f"`{n}=`" not in TEXT]


def test_import_of_the_page_names_what_is_exported() -> None:
    listed = re.search(r"from hotmesh import \(\n(.*?)\)", TEXT, re.S)
    assert listed

    assert sorted(re.findall(r"\w+", listed[1])) == sorted(hotmesh.__all__)

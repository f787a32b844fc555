"""The reference page: every block of YAML is a model without faults; properties are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from hotmesh.errors import Finding
from hotmesh.model import App, Conditions, Graph, RetryPolicy, Stats
from hotmesh.model.shape import activity_types

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "model.md").read_text()
BLOCKS = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_of_the_page_is_a_model_without_findings(
    number: int, judge: Callable[..., list[Finding]]
) -> None:
    assert judge(BLOCKS[number]) == []


def test_the_page_has_a_block_for_every_activity_type() -> None:
    assert {kind for kind in activity_types() if f"type: {kind}" in "".join(BLOCKS)} == set(
        activity_types()
    )


@pytest.mark.parametrize(
    "struct", [App, Graph, Conditions, Stats, RetryPolicy, *activity_types().values()]
)
def test_the_page_names_every_property(struct: type[msgspec.Struct]) -> None:
    names = {field.encode_name for field in msgspec.structs.fields(struct)}

    missing = {n for n in names if not re.search(rf"[`.]{n}[`.]", PAGE)}

    assert missing == set()

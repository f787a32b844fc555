"""Drawings as they were when someone last looked at them.

`HOTMESH_REDRAW=1 pytest tests/unit/pictures` draws them anew: then look at them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from picture_samples import HERE, PAGE, ROOT, bakery, bakery_run

from hotmesh.pictures import (
    Graph,
    Leg,
    from_legs,
    graph_mermaid,
    graph_svg,
    graph_text,
    on_model,
    timeline_svg,
    timeline_text,
)

GOLDEN, IMAGES = HERE / "golden", ROOT / "docs" / "img"
JOB = "H7kq2mVtR4xPzL9c"
COLLECTED_MS = 2 * 3_600_000 + 12 * 60_000


def coloured() -> Graph:
    run = bakery_run()
    return on_model(bakery(), run.legs, run.edges, about=(f"job {JOB}",))


def collected() -> list[Leg]:
    """The run after the cake was collected."""
    *legs, last = bakery_run().legs
    done_ms = last.began_ms + COLLECTED_MS
    done = msgspec.structs.replace(last, state="done", changed_ms=done_ms, code=200, generations=1)
    return [*legs, done]


def unrolled() -> Graph:
    run = bakery_run()
    return from_legs(run.legs, run.edges, title="cake.ordered")


def along_time() -> str:
    return timeline_svg(collected(), title="cake.ordered", about=(f"job {JOB}",))


DRAWINGS: dict[Path, Callable[[], str]] = {
    IMAGES / "bakery-model.svg": lambda: graph_svg(bakery()),
    IMAGES / "bakery-run.svg": lambda: graph_svg(coloured()),
    IMAGES / "bakery-timeline.svg": along_time,
    GOLDEN / "legs.svg": lambda: graph_svg(unrolled()),
    GOLDEN / "model.mmd": lambda: graph_mermaid(bakery()),
    GOLDEN / "run.mmd": lambda: graph_mermaid(coloured()),
    GOLDEN / "model.txt": lambda: graph_text(bakery()),
    GOLDEN / "run.txt": lambda: graph_text(coloured()),
    GOLDEN / "legs.txt": lambda: graph_text(unrolled()),
    GOLDEN / "timeline.txt": lambda: timeline_text(collected()),
}


@pytest.mark.parametrize("path", DRAWINGS, ids=lambda path: path.name)
def test_drawing_is_the_one_that_was_looked_at(path: Path) -> None:
    drawn = DRAWINGS[path]()
    if os.environ.get("HOTMESH_REDRAW"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(drawn, encoding="utf-8")

    assert drawn == path.read_text(encoding="utf-8")


def test_the_page_shows_the_drawings_and_prints_the_tree() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert graph_text(bakery()) in page
    for path in DRAWINGS:
        assert path.parent != IMAGES or f"../img/{path.name}" in page

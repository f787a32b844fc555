"""The page on scaling gets its figures from results files."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from benchmarks.scaling import BLOCK, PAGE, render  # noqa: E402

NAMES = {"waiting", "fleet", "partitions", "telemetry", "arithmetic"}


def test_every_block_is_made_of_results() -> None:
    made = {name: body for _, name, body, _ in BLOCK.findall(render(PAGE.read_text()))}

    assert set(made) == NAMES
    assert all(body.count("| ") > 10 for body in made.values())


def test_making_them_again_changes_nothing_but_figures() -> None:
    once = render(PAGE.read_text())

    assert render(once) == once
    assert BLOCK.sub(r"\2", once) == BLOCK.sub(r"\2", PAGE.read_text())

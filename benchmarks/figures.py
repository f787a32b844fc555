"""What a case reports: figures with their bare counterpart, their spread over the rounds and their
goal; and the results file that holds them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

RESULTS = Path(__file__).parent / "results"


class Goal(Struct, frozen=True):
    """What a figure should reach.

    Attributes:
        limit: The bound.
        sense: On which side of it.
        of: Whether the ratio to the bare commands is bound, or our own value.
    """

    limit: float
    sense: Literal["at least", "at most", "exactly"]
    of: Literal["ratio", "ours"] = "ratio"

    def met(self, value: float) -> bool:
        """Whether a value keeps to it."""
        if self.sense == "at least":
            return value >= self.limit
        return value <= self.limit if self.sense == "at most" else value == self.limit

    def __str__(self) -> str:
        sign = {"at least": "≥", "at most": "≤", "exactly": "="}[self.sense]
        return f"{sign} {self.limit:g}{'' if self.of == 'ratio' else ' (ours)'}"


class Figure(Struct, kw_only=True):
    """One row of the table.

    Attributes:
        name: What was measured, without its unit.
        ours, bare: Medians over the rounds; bare is None where there is nothing bare to compare.
        ratio: Ours to bare, the median of the rounds' ratios.
        low, high: The smallest and the largest round: of the ratio, or of ours without one.
        against: What `bare` is, when it isn't the bare commands.
    """

    name: str
    unit: str
    ours: float
    bare: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    goal: Goal | None = None
    against: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None when there is none."""
        if self.goal is None:
            return None
        value = self.ratio if self.goal.of == "ratio" else self.ours
        return value is not None and self.goal.met(value)


class Result(Struct, kw_only=True):
    """What a case gave, and where it was measured.

    Attributes:
        title: The first line of the case's docstring.
        rounds: What was measured, round by round.
        error: Why there is nothing, or "".
    """

    case: str
    title: str
    quick: bool
    began: str
    elapsed_s: float
    host: dict[str, Any]
    figures: list[Figure] = []
    rounds: list[dict[str, Any]] = []
    error: str = ""


def paired(
    name: str,
    unit: str,
    ours: Sequence[float],
    bare: Sequence[float],
    goal: Goal | None = None,
    against: str = "",
) -> Figure:
    """A figure of rounds that ran side by side: the ratio is taken within each round, so that what
    slows the machine for a second slows both.
    """
    ratios = [a / b for a, b in zip(ours, bare, strict=True) if b]
    return Figure(
        name=name,
        unit=unit,
        ours=statistics.median(ours),
        bare=statistics.median(bare),
        ratio=statistics.median(ratios) if ratios else None,
        low=min(ratios, default=None),
        high=max(ratios, default=None),
        goal=goal,
        against=against,
    )


def alone(name: str, unit: str, ours: Sequence[float], goal: Goal | None = None) -> Figure:
    """A figure that nothing stands beside."""
    return Figure(
        name=name,
        unit=unit,
        ours=statistics.median(ours),
        low=min(ours),
        high=max(ours),
        goal=goal,
    )


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which `share` of the values lie; 0 when there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def shown(value: float | None) -> str:
    """A number with three digits that matter."""
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def save(results: Sequence[Result], path: Path) -> None:
    """Write a results file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(results), indent=1)
    path.write_bytes(data + b"\n")


def load(path: Path) -> list[Result]:
    """Read a results file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Result])

"""Results as tables: for the terminal, and by `python -m benchmarks.report` as Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table

from benchmarks import cases
from benchmarks.figures import RESULTS, Figure, Result, load, shown

COLUMNS = ("case", "figure", "ours", "bare", "ratio", "goal", "spread")


def row(figure: Figure) -> tuple[str, ...]:
    """The cells of a figure, from its name on."""
    bare = shown(figure.bare)
    if figure.against and figure.bare is not None:
        bare += f" ({figure.against})"
    spread = "–" if figure.low is None else f"{shown(figure.low)} to {shown(figure.high)}"
    if figure.ratio is None and figure.low == figure.high:
        spread = "–"
    goal = "–" if figure.goal is None else f"{figure.goal}{'' if figure.met else ' ✗'}"
    return (
        f"{figure.name}, {figure.unit}",
        shown(figure.ours),
        bare,
        shown(figure.ratio),
        goal,
        spread,
    )


def table(results: Sequence[Result]) -> Table:
    """For the terminal. A goal that was missed has a cross."""
    made = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in made.columns[2:5]:
        column.justify = "right"
    for result in results:
        if result.error:
            made.add_row(result.case, f"[red]{result.error.splitlines()[0]}")
        for number, figure in enumerate(result.figures):
            style = "red" if figure.met is False else None
            made.add_row(result.case if number == 0 else "", *row(figure), style=style)
        made.add_section()
    return made


def markdown(results: Iterable[Result]) -> str:
    """For the README: a table, and below it what it was measured on."""
    results = list(results)
    lines = [f"| {' | '.join(COLUMNS)} |", "| --- | --- | ---: | ---: | ---: | --- | --- |"]
    for result in results:
        for number, figure in enumerate(result.figures):
            cells = (f"`{result.case}`" if number == 0 else "", *row(figure))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *map(_told, {r.began: r for r in results[:1]}.values())])


def ratios(results: Iterable[Result]) -> str:
    """For the README: what stands beside something, as ratios alone."""
    results = list(results)
    lines = ["| case | figure | ours / bare | goal | spread |", "| --- | --- | ---: | --- | --- |"]
    for result in results:
        name = f"`{result.case}`"
        for figure in result.figures:
            if figure.ratio is None or figure.name.startswith("CPU"):
                continue
            what, _, _, ratio, goal, spread = row(figure)
            goal = "–" if "ours" in goal else goal  # of an absolute value
            beside = f", beside {figure.against}" if figure.against else ""
            lines.append(f"| {name} | {what}{beside} | {ratio} | {goal} | {spread} |")
            name = ""
    return "\n".join([*lines, "", *map(_told, {r.began: r for r in results[:1]}.values())])


def _told(result: Result) -> str:
    host = result.host
    return (
        f"{host['cores']} cores ({host['cpu']}), Python {host['python']}, "
        f"redis-py {host['redis']}, hiredis {host['hiredis']}, uvloop {host['uvloop']}, "
        f"Valkey {host['server']}, commit {host['commit']}, {result.began[:10]}"
        f"{', quick' if result.quick else ''}. Medians of the rounds; the spread is that of the "
        "ratio, or of ours where nothing stands beside it."
    )


def latest() -> list[Result]:
    """The latest result of each case, in the order of the cases."""
    paths = [RESULTS / f"{name}-latest.json" for name in cases.NAMES]
    return [result for path in paths if path.exists() for result in load(path)]


def main() -> None:
    """Print the Markdown of results files."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=main.__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="default: the latest of each case")
    parser.add_argument("--ratios", action="store_true", help="the README's table")
    arguments = parser.parse_args()
    results = [r for path in arguments.files for r in load(path)] or latest()
    print(ratios(results) if arguments.ratios else markdown(results))


if __name__ == "__main__":
    main()

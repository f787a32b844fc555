"""`python -m benchmarks.scaling`: put the latest figures into `docs/scaling.md`.

The page has blocks between `<!-- figures NAME -->` and `<!-- end -->`; what stands between them is
made here, of the results files.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path

from benchmarks.figures import RESULTS, Result, load, shown
from benchmarks.report import markdown

PAGE = Path(__file__).parent.parent / "docs" / "scaling.md"
BLOCK = re.compile(r"(<!-- figures (\w+) -->\n)(.*?)(<!-- end -->)", re.S)
RATES = (1_000, 100_000, 1_000_000)
ROLES = ("server", "engine", "worker", "client")
SHARE = 0.6
"""Of a core that is used when all is well: the rest is for peaks, and for a neighbour that died."""


def render(text: str) -> str:
    """The page with its blocks made anew; one without results stays as it is."""

    def block(match: re.Match[str]) -> str:
        head, name, old, tail = match.groups()
        return f"{head}{_made(name) or old}{tail}"

    return BLOCK.sub(block, text)


def _made(name: str) -> str:
    result = _result("fleet" if name == "arithmetic" else name)
    if result is None or result.error:
        return ""
    if name == "arithmetic":
        return _arithmetic(result)
    return f"\n{markdown([result])}\n\n"


def _result(name: str) -> Result | None:
    path = RESULTS / f"{name}-latest.json"
    return load(path)[0] if path.exists() else None


def _arithmetic(result: Result) -> str:
    """Cores for a rate, from what a job costs each role in a fleet of one."""
    rounds = [r for r in result.rounds if r["side"] == "ours 1"]
    cost = {role: statistics.median(r["cpu_us"][role] for r in rounds) for role in ROLES}
    heads = ["per job", *(f"cores at {rate:,} jobs/s" for rate in RATES)]
    lines = [f"| role | CPU, µs {' | '.join(heads)} |", "| --- |" + " ---: |" * len(heads)]
    for role, us in [*cost.items(), ("in all", sum(cost.values()))]:
        cores = (shown(rate * us / 1e6 / SHARE) for rate in RATES)
        lines.append(f"| {role} | {shown(us)} | {' | '.join(cores)} |")
    server = cost["server"]
    told = f"A partition ends at about {shown(1e6 * SHARE / server)} such jobs a second: one core "
    told += f"of a server, {SHARE:.0%} of it used."
    return "\n" + "\n".join(lines) + f"\n\n{told}\n\n"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))

"""`python -m benchmarks`: run the cases, print their table, write their results."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType

import uvloop
from rich.console import Console

from benchmarks import cases, host
from benchmarks.child import PROFILE_DIR
from benchmarks.figures import RESULTS, Figure, Result, save
from benchmarks.harness import Bench
from benchmarks.report import table

CASE_S_MAX = 400.0
"""A case that takes longer hangs."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def main() -> int:
    """Parse, run, print; 1 when a case failed, 130 when it was interrupted."""
    options = _parse()
    if not sys.platform.startswith("linux"):
        print("the benchmarks read /proc: they need Linux", file=sys.stderr)
        return 1
    modules = {name: import_module(f"benchmarks.cases.{name}") for name in cases.NAMES}
    if options.list:
        for name, module in modules.items():
            print(f"{name:14}{_title(module)}")
        return 0
    wanted = options.only or list(cases.NAMES)
    try:
        results = uvloop.run(_run({name: modules[name] for name in wanted}, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    console.print(table(results))
    if options.json:
        save(results, options.json)
    return 1 if any(result.error for result in results) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter and fewer rounds")
    parser.add_argument(
        "--only", nargs="+", choices=cases.NAMES, metavar="NAME", help="these cases"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results there, too")
    parser.add_argument(
        "--keep", action="store_true", help="write results under the commit, too, not only 'latest'"
    )
    parser.add_argument("--list", action="store_true", help="name the cases")
    return parser.parse_args()


async def _run(modules: dict[str, ModuleType], options: argparse.Namespace) -> list[Result]:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    facts = host.facts()
    names = ["latest"] + ([facts["commit"].rstrip("+")] if options.keep else [])
    if os.environ.get(PROFILE_DIR):
        names = []  # figures of a profiled run are worth nothing
    results = []
    for name, module in modules.items():
        console.print(f"[bold]{name}[/]  {_title(module)}")
        result = Result(
            case=name,
            title=_title(module),
            quick=options.quick,
            began=datetime.now(UTC).isoformat(timespec="seconds"),
            elapsed_s=0.0,
            host=facts,
        )
        await _measure(module.run, result)
        results.append(result)
        for suffix in names:
            save([result], RESULTS / f"{name}-{suffix}.json")
    return results


async def _measure(run: Callable[[Bench], Awaitable[list[Figure]]], result: Result) -> None:
    """Run one case; a failure is its result, so that the others still run."""
    began = time.monotonic()
    try:
        with console.status("starting") as status:

            def say(what: str) -> None:
                status.update(what)
                if not console.is_terminal:
                    console.print(f"  {what}")

            async with Bench(quick=result.quick, say=say) as bench:
                result.rounds = bench.rounds
                async with asyncio.timeout(CASE_S_MAX):
                    result.figures = await run(bench)
    except Exception as exc:  # noqa: BLE001
        result.error = f"{type(exc).__name__}: {exc}"
        console.print(f"[red]{result.error}", markup=False)
    result.elapsed_s = round(time.monotonic() - began, 1)


def _title(module: ModuleType) -> str:
    return (inspect.getdoc(module) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())

"""How the tests of the command line run it: real processes, with a server in a directory of theirs.

No tests here; the name keeps the file beside those that use it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
COMMAND = (sys.executable, "-m", "hotmesh")
WITHIN_S = 30.0

# One process runs many command lines: each is the real `main`, only its start-up is shared.
_BATCH = """
import contextlib, io, json, sys
from hotmesh.cli.main import main

for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(json.loads(line))
    print(json.dumps([code, out.getvalue(), err.getvalue()]), file=sys.__stdout__)
"""


class Done(NamedTuple):
    """What one command line of a batch has done."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its result, if it succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """Its error object, if it failed for what was asked."""
        assert self.code == 1, (self.code, self.out, self.err)
        found: dict[str, Any] = json.loads(self.err)["error"]
        return found


def eventually(condition: Callable[[], Any], what: str, within_s: float = WITHIN_S) -> Any:
    """What `condition` gives, once it gives something."""
    until = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < until, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)
    return found


class Running:
    """A command that stays."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def until(self, text: str) -> None:
        """Wait until it has printed this, on either stream."""

        def seen() -> bool:
            assert self.process.poll() is None or text in self.out + self.err, self.err
            return text in self.out + self.err

        eventually(seen, f"{text!r} of {self.process.args!r}: {self.err}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout_s: float = WITHIN_S) -> int:
        return self.process.wait(timeout_s)

    def stop(self) -> int:
        """Drain it; the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait()


class Terminal:
    """Runs commands in one directory, with one embedded server."""

    def __init__(self, folder: Path, *, cwd: Path | None = None, **environ: str) -> None:
        self.home = folder / "home"
        self.cwd = cwd or folder
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HOTMESH_")}
        self.environ = kept | {"HOTMESH_HOME": str(self.home)} | environ
        self._folder, self._running = folder, list[Running]()

    def run(
        self,
        *args: str,
        stdin: str = "",
        program: tuple[str, ...] = COMMAND,
        env: dict[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*program, *args],
            input=stdin,
            cwd=self.cwd,
            env=self.environ | (env or {}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def batch(self, *lines: Sequence[str]) -> list[Done]:
        """Run command lines one after the other, in one process."""
        stdin = "".join(json.dumps(line) + "\n" for line in lines)
        done = self.run(program=(sys.executable, "-c", _BATCH), stdin=stdin)
        assert done.returncode == 0, done.stderr
        return [Done(*json.loads(line)) for line in done.stdout.splitlines()]

    def ok(self, *args: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        done = self.run(*args, stdin=stdin)
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return done.stdout

    def json(self, *args: str, stdin: str = "") -> Any:
        """The result of a command that must succeed."""
        lines = self.ok("--json", *args, stdin=stdin).splitlines()
        assert len(lines) == 1, lines
        return json.loads(lines[0])

    def start(self, *args: str) -> Running:
        """Start a command that stays, and wait until it is ready."""
        stem = self._folder / f"{len(self._running)}"
        out, err = stem.with_suffix(".out"), stem.with_suffix(".err")
        with out.open("wb") as stdout, err.open("wb") as stderr:
            process = subprocess.Popen(
                [*COMMAND, *args],
                cwd=self.cwd,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        running = Running(process, out, err)
        self._running.append(running)
        return running

    def close(self) -> None:
        """End what still runs, and see that nothing is left: no command, no server."""
        for running in self._running:
            if running.process.poll() is None:
                running.signal(signal.SIGKILL)
            running.wait()
        eventually(lambda: not processes_of(self._folder), f"processes of {self._folder} end")


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that name a directory, or have it in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            facts = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue  # ended, or another user's
        if str(folder).encode() in facts:
            found.append(facts.partition(b"HOTMESH_HOME")[0].replace(b"\0", b" ").decode())
    return found

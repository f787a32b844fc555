"""Findings as they are collected: with position, bounded in number, with near names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from hotmesh.errors import Finding
from hotmesh.model.marks import Path, Position, render

# Nobody reads more, and a broken model of 10,000 activities could have 100,000. Of each severity.
FINDINGS_MAX = 200

_NEAR_MAX = 100  # look-ups of a near name per model: each compares with many candidates
_CANDIDATES_MAX = 500


class Findings:
    """A collector of findings in one model.

    Args:
        locate: From a path, and whether the key at its end is meant, to a position.
    """

    def __init__(self, locate: Callable[[Path, bool], Position]) -> None:
        self._locate, self._near_left = locate, _NEAR_MAX
        self._found: dict[str, dict[tuple[Path, str], Finding]] = {"error": {}, "warning": {}}

    def error(self, path: Path, message: str, *, key: bool = False) -> None:
        """Note something for which the model is refused. `key`: the key at the end of `path`."""
        self._add(path, message, "error", key)

    def warn(self, path: Path, message: str, *, key: bool = False) -> None:
        """Note something that works, but probably not as meant."""
        self._add(path, message, "warning", key)

    def near(self, name: str, candidates: Iterable[str]) -> str:
        """`; did you mean 'x'?`, or nothing."""
        meant = self.nearest(name, candidates)
        return f"; did you mean {meant!r}?" if meant else ""

    def nearest(self, name: str, candidates: Iterable[str]) -> str | None:
        """As the function, until this model has had its share of look-ups."""
        if self._near_left <= 0:
            return None
        self._near_left -= 1
        return nearest(name, candidates)

    @property
    def errors(self) -> list[Finding]:
        """The errors in the order of their positions."""
        return in_order(self._found["error"].values())

    @property
    def all(self) -> list[Finding]:
        """Errors and warnings in the order of their positions."""
        return in_order(f for kind in self._found.values() for f in kind.values())

    def _add(self, path: Path, message: str, severity: str, key: bool) -> None:
        found = self._found[severity]
        if len(found) >= FINDINGS_MAX or (path, message) in found:
            return
        file, line, column = self._locate(path, key)
        found[path, message] = Finding(
            message, path=render(path), file=file, line=line, column=column, severity=severity
        )


def near(name: str, candidates: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the candidate that is most like `name`, or an empty text."""
    meant = nearest(name, candidates)
    return f"; did you mean {meant!r}?" if meant else ""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that is most like `name`, if any is like it at all."""
    pool = list(candidates)
    if len(pool) > _CANDIDATES_MAX:
        # A slip is mostly a letter or two, and rarely the first.
        pool = [c for c in pool if c[:1] == name[:1] and abs(len(c) - len(name)) <= 2]
    folded = {c.lower(): c for c in pool[:_CANDIDATES_MAX] if len(c) <= 200}
    close = get_close_matches(name[:100].lower(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings in the order of their positions."""
    return sorted(findings, key=_place)


def _place(finding: Finding) -> tuple[str, int, int]:
    return finding.file, finding.line, finding.column

"""What a check says."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Level = Literal["ok", "note", "unknown", "warn", "fail"]
"""`ok`; `note`: worth knowing; `unknown`: the server does not permit the question; `warn`: there is
something to do; `fail`: work is lost or stands still, or will be.
"""

TO_DO: frozenset[Level] = frozenset(("warn", "fail"))


class Verdict(Struct, frozen=True, kw_only=True):
    """One check.

    Attributes:
        check: Its name, steady over releases.
        said: What was found.
        fix: What to do, "" when nothing is to be done.
    """

    check: str
    level: Level
    said: str
    fix: str = ""


def ok(check: str, said: str) -> Verdict:
    """All is well."""
    return Verdict(check=check, level="ok", said=said)


def note(check: str, said: str, fix: str = "") -> Verdict:
    """Worth knowing."""
    return Verdict(check=check, level="note", said=said, fix=fix)


def unknown(check: str, what: str) -> Verdict:
    """The server does not say."""
    said = f"{what} could not be read: the server does not permit it"
    return Verdict(check=check, level="unknown", said=said)


def warn(check: str, said: str, fix: str) -> Verdict:
    """Something is to be done."""
    return Verdict(check=check, level="warn", said=said, fix=fix)


def fail(check: str, said: str, fix: str) -> Verdict:
    """Work is lost or stands still, or will be."""
    return Verdict(check=check, level="fail", said=said, fix=fix)

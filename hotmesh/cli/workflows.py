"""Durable workflows as text: what their commands share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from hotmesh.cli.arguments import read_json


def read_args(args: Sequence[str]) -> list[Any]:
    """Arguments of user code, each of them JSON.

    Raises:
        UsageError: One is none.
    """
    return [read_json(arg, f"argument {n}") for n, arg in enumerate(args, 1)]


def iso(moment: datetime | None) -> str:
    """A time for a table; `-` for none."""
    return "-" if moment is None else moment.isoformat(timespec="milliseconds")

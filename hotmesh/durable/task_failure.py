"""Why a turn may fail although the business has not."""

from __future__ import annotations


class TurnFailed(Exception):
    """The code or its environment is at fault, not the business: the run stays open.

    `__cause__` says what.
    """

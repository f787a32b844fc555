"""What a router has done since it started, for those who ask how it is."""

from __future__ import annotations

CODES_MAX = 50
"""Codes that are counted one by one; users choose them, so the rest is counted together."""

OTHER = -1
"""Stands for the codes beyond `CODES_MAX`."""


class Tally:
    """Counts of one router.

    Attributes:
        taken: Entries read or claimed.
        settled: Entries that left this router's hands, done or left to others.
        claimed: Of those taken, the ones that another had held before.
        failed: Entries that could not be settled at once and were handled again.
        buried: Entries put into the dead letters.
        codes: Answers of its handler by code; empty where handlers give none.
    """

    __slots__ = ("buried", "claimed", "codes", "failed", "settled", "taken")

    def __init__(self) -> None:
        self.taken = self.settled = self.claimed = self.failed = self.buried = 0
        self.codes: dict[int, int] = {}

    def count(self, code: int) -> None:
        """One more answer of a code."""
        if code not in self.codes and len(self.codes) >= CODES_MAX:
            code = OTHER
        self.codes[code] = self.codes.get(code, 0) + 1

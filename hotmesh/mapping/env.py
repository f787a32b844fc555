"""What an evaluation gets from outside, and how much it may do.

The package reads no clock, no random source and no settings: all of that comes in here, so that the
same rule over the same context and `Env` always gives the same value. An `Env` belongs to one pass
over one context; it also carries what lives only as long as the pass (the variables of a reduce,
the marks of `object.freeze` and its kin, the count of steps).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import msgspec

from hotmesh.mapping.javascript import OutOfRange
from hotmesh.mapping.javascript.objects import Marks

STEPS_MAX: Final = 1_000_000
"""Steps of one rule: a turn of a reduce costs ten and a share of what it has built, an instruction
of a regular expression one. It is some tenths of a second of CPU, after which a model is wrong
rather than slow."""

TURN_STEPS: Final = 10


class Frame:
    """The variables of one running reduce: `{$item}`, `{$key}`, `{$index}` and so on."""

    __slots__ = ("index", "input", "item", "key", "output")

    def __init__(self, source: Any, output: Any) -> None:
        self.item: Any = None
        self.key = ""
        self.index = 0
        self.input = source
        self.output = output


class Env(msgspec.Struct, eq=False):
    """Clock, randomness and local zone of one pass.

    Attributes:
        now_ms: The present, in milliseconds since 1970 UTC.
        random: Gives a float in [0, 1). In a durable run it must be one whose values are recorded.
        tz: IANA name of the local zone of the date functions.
        frame, marks, steps: The pass's own; callers leave them alone.
    """

    now_ms: int
    random: Callable[[], float]
    tz: str = "UTC"
    frame: Frame | None = None
    marks: Marks | None = None
    steps: int = 0

    def spend(self, steps: int) -> None:
        """Count work that data can multiply; raises `OutOfRange` at `STEPS_MAX`."""
        self.steps += steps
        if self.steps > STEPS_MAX:
            raise OutOfRange(f"the rule does more than {STEPS_MAX:,} steps of work on these data")


Closure: TypeAlias = Callable[[Any, Env], Any]
"""A compiled rule: context and `Env` in, value out."""

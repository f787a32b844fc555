"""One-off evaluation, for tests, tools and the command line.

What runs more than once is compiled instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hotmesh.mapping.compile import compile_maps, compile_value
from hotmesh.mapping.conditions import CODE_DEFAULT, compile_condition
from hotmesh.mapping.env import Env
from hotmesh.mapping.javascript.dates import ms_of


def evaluate(rule: Any, context: dict[str, Any], now: datetime | None = None) -> Any:
    """The value of a literal, a `'{reference}'`, a `'{@family.name}'` or `{"@pipe": [[...], ...]}`.

    Args:
        context: What references walk from. Functions that work in place change it.
        now: Pins the clock; this machine's clock when left out. A naive one is taken as UTC.

    Raises:
        MappingError: The rule is malformed, or a function can't work on these data.
    """
    return compile_value(rule)(context, _env(now))


def evaluate_maps(
    maps: Any, context: dict[str, Any], now: datetime | None = None
) -> dict[str, Any]:
    """The result of a whole `maps` object; a missing reference leaves its key with UNDEFINED."""
    return compile_maps(maps)(context, _env(now))


def evaluate_condition(
    rule: Any, context: dict[str, Any], code: int = CODE_DEFAULT, now: datetime | None = None
) -> bool:
    """Whether a transition is followed after an outcome with a code; see `evaluate`."""
    return compile_condition(rule)(context, code, _env(now))


def _env(now: datetime | None) -> Env:
    # Imported here, so that loading this package loads no clock.
    from hotmesh.mapping.clock import env_now

    env = env_now()
    if now is not None:
        env.now_ms = int(ms_of(now))
    return env

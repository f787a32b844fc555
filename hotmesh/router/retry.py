"""Retry policy → the delay before the next attempt, or no next attempt."""

from __future__ import annotations

from collections.abc import Sequence

from hotmesh.messages import RetryRule


def next_delay_ms(rules: Sequence[RetryRule], code: int, attempt: int, draw: float) -> int | None:
    """Milliseconds until the next attempt; None when the failure stands.

    Args:
        rules: The first that names the code, or no code at all, applies.
        attempt: The one that failed, from 0.
        draw: A random number in [0, 1) for the jitter.
    """
    for rule in rules:
        if rule.codes and code not in rule.codes:
            continue
        if attempt + 1 >= rule.attempts_max:
            return None
        # The exponent is bounded: a float overflows long after any delay has reached its limit.
        delay = min(rule.initial_ms * rule.factor ** min(attempt, 60), rule.delay_ms_max)
        return round(delay * (1 - rule.jitter * draw))
    return None

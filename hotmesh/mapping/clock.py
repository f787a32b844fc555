"""Clock and chance for `evaluate` and its kin: the one file that may import them."""

from __future__ import annotations

import random
import time

from hotmesh.mapping.env import Env


def env_now() -> Env:
    """An `Env` of this very moment on this machine's clock, in UTC."""
    return Env(now_ms=time.time_ns() // 1_000_000, random=random.random)

"""What a job costs while 2,000 or 200,000 others sleep.

`backlog` with more of them, and sleeping ones only: each is a record and a timer. Beside stand the
bare commands on a server that holds as many records.
"""

from __future__ import annotations

from benchmarks.cases.backlog import SLEEP_TOPIC, kind
from benchmarks.figures import Figure
from benchmarks.harness import Bench, Load

LEVELS, QUICK_LEVELS = (2_000, 200_000), (2_000, 20_000)


async def run(bench: Bench) -> list[Figure]:
    """CPU of server and engine, and the rate, for each number."""
    levels = QUICK_LEVELS if bench.quick else LEVELS
    fill = Load(topic=SLEEP_TOPIC, in_flight=300, wait=False)
    return await kind(bench, "waiting", levels, fill)

"""Visits: the clicks of a person with no silence of half an hour between them, told when over."""

from __future__ import annotations

import asyncio

import hotmesh
from hotmesh.streams import Span, Stream


class Click(hotmesh.Record):
    person: str
    page: str


class Visit(hotmesh.Record):
    person: str
    clicks: int
    minutes: float


app = hotmesh.App("clicks", partitions=2)
clicks = app.topic("clicks", value_type=Click)
visits = app.topic("visits", value_type=Visit)
sessions = app.table("sessions", default=int).session("30m", expires="1 day")
finished: list[Visit] = []


@app.agent(clicks)
async def follow(stream: Stream[Click]) -> None:
    async for click in stream:
        sessions[click.person] += 1


@sessions.on_close
async def over(person: str, count: int, window: Span) -> None:
    minutes = (window.end_ms - window.start_ms) / 60_000 - 30
    await visits.send(Visit(person, count, minutes), key=person)


@app.agent(visits)
async def tell(stream: Stream[Visit]) -> None:
    async for visit in stream:
        finished.append(visit)


@app.command()
async def demo() -> None:
    """Two visits of Ada, one of Bob; both come back a day later, which ends them."""
    day = [("ada", 0), ("bob", 5), ("ada", 10), ("bob", 20), ("ada", 25), ("ada", 120)]
    async with app.running():
        for who, minute in [*day, ("ada", 3000), ("bob", 3000)]:
            await clicks.send(Click(who, "/"), key=who, timestamp=minute * 60.0)
        while len(finished) < 3:
            await asyncio.sleep(0.02)
        for visit in sorted(finished, key=lambda v: (v.person, v.clicks)):
            print(f"{visit.person}: {visit.clicks} clicks in {visit.minutes:.0f} minutes")


if __name__ == "__main__":
    app.main()

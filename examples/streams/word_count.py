"""Count words. Lines are split by one agent; another counts, each word in its own partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import hotmesh

app = hotmesh.App("word-count", partitions=2)
lines = app.topic("lines", value_type=str)
words = app.topic("words", value_type=str)
counts = app.table("counts", default=int)


@app.agent(lines)
async def split(stream: AsyncIterator[str]) -> None:
    async for line in stream:
        for word in line.lower().split():
            await words.send(word, key=word)


@app.agent(words)
async def count(stream: AsyncIterator[str]) -> None:
    async for word in stream:
        counts[word] += 1


@app.command()
async def demo() -> None:
    """Count the words of three lines."""
    text = ["to be or not to be", "that is the question", "to sleep perchance to dream"]
    async with app.running():
        await lines.send_many(text)
        while sum(await counts.values()) < sum(len(line.split()) for line in text):
            await asyncio.sleep(0.02)
        for word, times in sorted(await counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3]:
            print(word, times)


if __name__ == "__main__":
    app.main()

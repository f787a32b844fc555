"""Many activities at once, a few at a time, and what they gave put together.

python examples/durable/fan_out.py
"""

import asyncio

from hotmesh import durable
from hotmesh.durable import activity


@activity.defn
async def count_words(page: str) -> int:
    await asyncio.sleep(0.01)
    return len(page.split())


@activity.defn
async def list_pages(book: str) -> list[str]:
    return [f"page {n} of {book}" for n in range(1, 51)]


async def words_of(book: str) -> int:
    pages = await list_pages(book)
    few = asyncio.Semaphore(10)

    async def count(page: str) -> int:
        async with few:
            return await count_words(page)

    return sum(await asyncio.gather(*(count(page) for page in pages)))


async def main() -> None:
    worker = await durable.Worker.create(
        namespace="fan-out", workflows=[words_of], activities=[list_pages, count_words]
    )
    async with worker, durable.Client(namespace="fan-out") as client:
        print(await client.workflow.execute(words_of, "the book"), "words")


if __name__ == "__main__":
    asyncio.run(main())

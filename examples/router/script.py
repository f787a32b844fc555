"""In a plain script: everything within `async with router:`."""

from __future__ import annotations

import asyncio

from orders import Order, billed, router


async def main() -> None:
    """Send three orders, wait until two are billed and one is refused."""
    async with router:
        for order in (Order("a", 9.5), Order("b", -1), Order("c", 2)):
            await router.publish("orders", order, key=order.id)
        async with asyncio.timeout(10):
            while len(billed) < 2 or not (letters := await router.dead_letters("orders")):
                await asyncio.sleep(0.02)
        print("sum:", sum(billed.values()))
        for letter in letters:
            print("refused:", letter.reason)
            await router.drop(letter.id)


asyncio.run(main())

"""What all three services share: a type, a handler, and nothing that knows its host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import hotmesh

router = hotmesh.Router(group="billing")
billed: dict[str, float] = {}


class Order(hotmesh.Record):
    """An order as it travels in the topic `orders`."""

    id: str
    price: float


@router.subscribe(
    "orders",
    concurrency=50,
    retry=hotmesh.RetryPolicy(maximum_attempts=5, initial_interval="200ms"),
)
async def bill(order: Order, ctx: hotmesh.Delivery) -> None:
    """Called once per order; again if this process dies before it returns."""
    if order.price < 0:
        raise hotmesh.Reject(f"order {order.id} has a negative price")
    billed[order.id] = order.price


@router.middleware
async def counted(ctx: hotmesh.Delivery, call_next: Callable[[], Awaitable[object]]) -> object:
    """Around every handler: the place for logs, metrics, sessions of a database."""
    result = await call_next()
    print(f"billed {ctx.key} at attempt {ctx.attempt}", flush=True)
    return result

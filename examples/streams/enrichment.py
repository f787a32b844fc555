"""Orders, each with what is known of its customer by then: a join of a stream and a table."""

from __future__ import annotations

import hotmesh
from hotmesh.streams import Stream


class Customer(hotmesh.Record):
    id: str
    name: str
    country: str


class Order(hotmesh.Record):
    id: str
    customer: str
    price: float


class Enriched(hotmesh.Record):
    order: Order
    name: str
    country: str


app = hotmesh.App("enrichment", partitions=2)
customers = app.topic("customers", value_type=Customer)
orders = app.topic("orders", value_type=Order)
enriched = app.topic("enriched", value_type=Enriched)
known = app.table("known", value_type=Customer)


@app.agent(customers)
async def learn(stream: Stream[Customer]):  # type: ignore[no-untyped-def]
    async for customer in stream.group_by(Customer.id):
        known[customer.id] = customer
        yield True


@app.agent(orders, sink=[enriched])
async def enrich(stream: Stream[Order]):  # type: ignore[no-untyped-def]
    stranger = Customer("", "somebody", "?")
    by_customer = stream.group_by(Order.customer)
    async for order, customer in by_customer.join(known, on=Order.customer, missing=stranger):
        yield Enriched(order, customer.name, customer.country)


@app.command()
async def demo() -> None:
    """Two customers, three orders."""
    async with app.running():
        await learn.join([Customer("c1", "Ada", "UK"), Customer("c2", "Bob", "FR")])
        placed = [Order("o1", "c1", 9.5), Order("o2", "c2", 3.0), Order("o3", "c9", 1.0)]
        for one in await enrich.join(placed):
            print(one.order.id, one.name, one.country)


if __name__ == "__main__":
    app.main()

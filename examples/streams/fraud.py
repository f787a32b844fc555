"""Fraud: more than 1,000 spent with one card within ten minutes, wherever the payments come in."""

from __future__ import annotations

import hotmesh
from hotmesh.streams import Stream


class Payment(hotmesh.Record):
    card: str
    amount: float


class Alert(hotmesh.Record):
    card: str
    spent: float


app = hotmesh.App("fraud", partitions=4)
payments = app.topic("payments", value_type=Payment)
alerts = app.topic("alerts", value_type=Alert)
spent = app.table("spent", default=float).sliding("10m", step="10s", expires="1h")
LIMIT = 1_000


@app.agent(payments, sink=[print])
async def watch(stream: Stream[Payment]):  # type: ignore[no-untyped-def]
    async for payment in stream.group_by(Payment.card):
        spent[payment.card] += payment.amount
        total = spent[payment.card].current()
        if total > LIMIT:
            await alerts.send(Alert(payment.card, total), key=payment.card)
            yield f"{payment.card} has spent {total:.0f}"


@app.command()
async def demo() -> None:
    """Payments of two cards; one is over the limit for a while."""
    seen = [("A", 0, 600), ("B", 1, 900), ("A", 4, 300), ("A", 8, 200), ("B", 15, 900)]
    async with app.running():
        for card, minute, amount in seen:
            # `ask` waits until the payment has been looked at.
            await watch.ask(Payment(card, amount), timestamp=minute * 60.0)


if __name__ == "__main__":
    app.main()

"""The commands of topics, agents and tables, with an app's worker as a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from test_cli_support import Terminal, eventually

APP = """
import hotmesh

app = hotmesh.App("shop", lease="1s")

class Order(hotmesh.Record):
    id: str
    price: float = 1.0

orders = app.topic("orders", value_type=Order, partitions=2)
totals = app.table("totals", default=float)
daily = app.table("daily", default=int).tumbling("1 day")

@app.agent(orders)
async def tally(stream):
    async for order in stream:
        totals[order.id] += order.price
        daily[order.id] += 1
        yield totals[order.id]

@app.command()
async def ask(id: str, price: float = 1.0) -> None:
    print(await tally.ask(Order(id, price)))

if __name__ == "__main__":
    app.main()
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A worker of the app."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(APP)
    terminal = Terminal(tmp_path_factory.mktemp("home"), cwd=folder)
    try:
        worker = terminal.start("worker", "-A", "shop:app", "--json")
        worker.until("ready")
        ready = json.loads(worker.out.splitlines()[0])
        assert (ready["role"], ready["agents"]) == ("app", ["tally"])
        yield terminal
        assert worker.stop() == 0
    finally:
        terminal.close()


def test_produce_tail_topics_lag_and_tables(shop: Terminal) -> None:
    sent = shop.json("produce", "orders", '{"id": "a", "price": 2.5}', "--key", "a",
                     "--header", "x=y", "--type", "Order")  # fmt: skip
    assert sent["topic"] == "orders"
    eventually(
        lambda: (
            shop.json("tables", "shop/totals")["values"]
            == [{"key": "a", "from": None, "value": 2.5}]
        ),
        "the order is counted",
    )

    tail, topics, lag, tables, text = shop.batch(
        ["tail", "orders", "--last", "0", "--limit", "1", "--json"],
        ["topics", "--json"],
        ["lag", "orders", "--json"],
        ["tables", "--json"],
        ["tail", "orders", "--last", "0", "--limit", "1"],
    )
    entry = tail.json
    assert (entry["key"], entry["type"], entry["headers"]) == ("a", "Order", {"x": "y"})
    assert entry["value"] == {"id": "a", "price": 2.5}
    (topic,) = topics.json["topics"]
    assert (topic["name"], topic["partitions"], topic["length"]) == ("orders", 2, 1)
    assert topic["groups"] == ["shop.tally"]
    assert [(x["partition"], x["behind"], x["pending"]) for x in lag.json["lag"]] == [
        (0, 0, 0), (1, 0, 0)
    ]  # fmt: skip
    assert all(x["owner"] for x in lag.json["lag"])
    assert {t["table"]: t["values"] for t in tables.json["tables"]} == {
        "shop/totals": 1, "shop/daily": 1
    }  # fmt: skip
    assert text.out.rstrip().endswith('a Order {"id":"a","price":2.5}')


def test_reset_has_a_group_read_again(shop: Terminal) -> None:
    shop.json("produce", "orders", '{"id": "again", "price": 1}', "--key", "again")
    value = [{"key": "again", "from": None, "value": 1.0}]
    eventually(lambda: shop.json("tables", "shop/totals", "again")["values"] == value, "counted")

    refused = shop.run("reset", "orders", "shop.tally", "--to", "earliest")
    assert refused.returncode == 1 and "--force" in refused.stderr
    done = shop.json("reset", "orders", "shop.tally", "--to", "1h", "--force")

    assert done["after"] == {"0": "0-0", "1": "0-0"}
    value[0]["value"] = 2.0
    eventually(lambda: shop.json("tables", "shop/totals", "again")["values"] == value, "counted")


def test_dead_letters_are_told_with_their_reason(shop: Terminal) -> None:
    shop.json("produce", "orders", '{"price": 1}', "--key", "bad", "--type", "Order")

    letter = shop.json("tail", "orders", "--dead", "--last", "0", "--limit", "1")

    assert (letter["key"], letter["value"], letter["group"]) == ("bad", {"price": 1}, "shop.tally")
    assert "missing required field `id`" in letter["reason"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["lag", "nothing"], "there is no topic 'nothing'"),
        (["tables", "shop/nothing"], "there is no table"),
        (["reset", "orders", "shop.tally", "--to", "sometime"], "--to"),
        (["produce", "orders", "{"], "not JSON"),
        (["produce", "orders", "1", "--header", "x"], "NAME=VALUE"),
    ],
)
def test_wrong_use_is_said(shop: Terminal, line: list[str], said: str) -> None:
    refused = shop.run(*line)

    assert refused.returncode == 2 and said in refused.stderr

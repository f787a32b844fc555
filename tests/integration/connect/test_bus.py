"""Pub/sub that survives cuts, tells of them, and keeps handlers apart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from hotmesh import connect
from hotmesh.connect import Bus, ReplyError
from hotmesh.connect import bus as bus_module
from hotmesh.connect.client import Dialer
from hotmesh.connect.url import parse_url
from hotmesh.errors import ServerUnavailable

if TYPE_CHECKING:
    from conftest import LocalServer
    from proxy import Proxy

BOTH_LOOPS = True

Eventually = Callable[..., Any]
MakeBus = Callable[..., Bus]


@pytest.fixture
async def make_bus() -> AsyncIterator[MakeBus]:
    async with AsyncExitStack() as stack:

        def make(url: str, **options: Any) -> Bus:
            bus = Bus(Dialer(parse_url(url), "test"), **options)
            stack.push_async_callback(bus.close)
            return bus

        yield make


class Inbox(list[tuple[bytes, bytes]]):
    """A handler that keeps what it gets."""

    def __call__(self, channel: bytes, payload: bytes) -> None:
        self.append((channel, payload))


async def test_messages_reach_their_handlers(
    connection: connect.Connection, eventually: Eventually
) -> None:
    exact, second, pattern = Inbox(), Inbox(), Inbox()
    await connection.bus.subscribe("news:é", exact)
    await connection.bus.subscribe("news:é", second)
    await connection.bus.psubscribe("news:*", pattern)
    payload = bytes(range(256)) * 4

    receivers = await connection.transport.execute("PUBLISH", "news:é", payload)
    await connection.transport.execute("PUBLISH", "news:other", b"")

    assert receivers == 2  # one for the channel, one for the pattern, on one connection
    await eventually(lambda: len(pattern) == 2)
    message = ("news:é".encode(), payload)
    assert exact == second == [message]
    assert pattern == [message, (b"news:other", b"")]


async def test_unsubscribe_detaches_one_handler_and_the_last_leaves_the_channel(
    connection: connect.Connection, eventually: Eventually
) -> None:
    transport = connection.transport
    stays, leaves = Inbox(), Inbox()
    first = await connection.bus.subscribe("room", leaves)
    second = await connection.bus.subscribe("room", stays)

    await first.unsubscribe()
    await first.unsubscribe()
    assert await transport.execute("PUBLISH", "room", "1") == 1
    await eventually(lambda: stays)
    await second.unsubscribe()

    assert leaves == []

    async def nobody_is_in() -> bool:
        return bool((await transport.execute("PUBSUB", "NUMSUB", "room"))[1] == 0)

    await eventually(nobody_is_in)


async def test_subscribe_and_unsubscribe_in_any_order(
    connection: connect.Connection, eventually: Eventually
) -> None:
    inbox = Inbox()
    for _ in range(20):
        gone = await connection.bus.subscribe("busy", Inbox())
        back, _ = await asyncio.gather(connection.bus.subscribe("busy", inbox), gone.unsubscribe())
        await back.unsubscribe()
    await connection.bus.subscribe("busy", inbox)

    assert await connection.transport.execute("PUBLISH", "busy", "x") == 1
    await eventually(lambda: inbox)
    assert len(inbox) == 1


async def test_failing_handler_is_logged_and_stops_nobody(
    connection: connect.Connection, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(channel: bytes, payload: bytes) -> None:
        raise RuntimeError("handler's fault")

    inbox = Inbox()
    await connection.bus.subscribe("shared", fail)
    await connection.bus.subscribe("shared", inbox)

    with caplog.at_level(logging.ERROR, "hotmesh.connect.bus"):
        await connection.transport.execute("PUBLISH", "shared", "1")
        await connection.transport.execute("PUBLISH", "shared", "2")
        await eventually(lambda: len(inbox) == 2)

    assert [record.message for record in caplog.records] == ["bus.handler_failed"] * 2
    assert "handler's fault" in str(caplog.records[0].exc_info)


async def test_gap_is_told_after_every_cut_when_all_is_subscribed_again(
    connection: connect.Connection, server: LocalServer, make_bus: MakeBus, eventually: Eventually
) -> None:
    transport = connection.transport
    bus, inbox, gaps = make_bus(server.url), Inbox(), []
    bus.on_gap.append(lambda: gaps.append(len(inbox)))
    for i in range(50):
        await bus.subscribe(f"cut:{i}", inbox)
    await bus.psubscribe("cut:pattern:*", inbox)

    for turn in range(1, 4):
        assert gaps == list(range(0, 51 * (turn - 1), 51))
        await transport.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda turn=turn: len(gaps) == turn)

        channels = [*(f"cut:{i}" for i in range(50)), "cut:pattern:x"]
        receivers = await transport.execute_many([("PUBLISH", c, "x") for c in channels])

        assert receivers == [1] * 51
        await eventually(lambda turn=turn: len(inbox) == 51 * turn)


async def test_server_restart_is_a_gap(
    own_server: LocalServer, make_bus: MakeBus, eventually: Eventually
) -> None:
    bus, inbox, gaps = make_bus(own_server.url, connect_deadline_s=0.2), Inbox(), []
    bus.on_gap.append(lambda: gaps.append(1))
    await bus.subscribe("ch", inbox)

    own_server.stop()
    with pytest.raises(ServerUnavailable, match="no connection to Redis"):
        await bus.subscribe("other", inbox)
    await asyncio.to_thread(own_server.start)
    await eventually(lambda: gaps)

    async with await connect.open(own_server.url) as connection:
        assert await connection.transport.execute("PUBLISH", "ch", "x") == 1
        assert await connection.transport.execute("PUBLISH", "other", "x") == 0
        await eventually(lambda: inbox == [(b"ch", b"x")])


async def test_silent_connection_is_noticed(
    proxy: Proxy, make_bus: MakeBus, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "PING_EVERY_S", 0.05)
    monkeypatch.setattr(bus_module, "ANSWER_WITHIN_S", 0.1)
    bus, gaps = make_bus(f"redis://127.0.0.1:{proxy.port}"), []
    bus.on_gap.append(lambda: gaps.append(1))
    await bus.subscribe("ch", Inbox())

    await asyncio.sleep(0.3)  # several pings
    assert proxy.connections == 1
    proxy.flowing.clear()
    await eventually(lambda: proxy.connections > 1)
    proxy.flowing.set()

    await eventually(lambda: gaps)


async def test_unreachable_server_fails_the_first_subscription(make_bus: MakeBus) -> None:
    bus = make_bus("redis://127.0.0.1:1", connect_deadline_s=0.1)

    outcomes = await asyncio.gather(
        bus.subscribe("a", Inbox()),
        bus.subscribe("a", Inbox()),
        bus.psubscribe("b", Inbox()),
        return_exceptions=True,
    )

    assert all(isinstance(outcome, ServerUnavailable) for outcome in outcomes)
    assert not bus._channels


async def test_refused_channel_fails_its_subscribers_only(
    connection: connect.Connection, server: LocalServer, make_bus: MakeBus, eventually: Eventually
) -> None:
    transport = connection.transport
    await transport.execute(
        "ACL", "SETUSER", "listener", "on", ">pw", "resetchannels", "&open*", "+@all"
    )
    bus, inbox = make_bus(server.url.replace("redis://", "redis://listener:pw@")), Inbox()
    await bus.subscribe("open", inbox)

    outcomes = await asyncio.gather(
        bus.subscribe("secret", Inbox()), bus.subscribe("open2", inbox), return_exceptions=True
    )

    assert isinstance(outcomes[0], ReplyError)
    assert outcomes[0].kind == "NOPERM"
    await transport.execute_many([("PUBLISH", "open", 1), ("PUBLISH", "open2", 2)])
    await eventually(lambda: inbox == [(b"open", b"1"), (b"open2", b"2")])
    await bus.close()
    await transport.execute("ACL", "DELUSER", "listener")


async def test_cancelled_subscribe_leaves_nothing_and_the_other_waits_on(
    server: LocalServer, make_bus: MakeBus, eventually: Eventually
) -> None:
    bus = make_bus(server.url)
    cancelled = asyncio.create_task(bus.subscribe("x", Inbox()))
    kept = asyncio.create_task(bus.subscribe("x", Inbox()))
    alone = asyncio.create_task(bus.subscribe("y", Inbox()))
    await asyncio.sleep(0)

    cancelled.cancel()
    alone.cancel()
    await asyncio.gather(cancelled, alone, return_exceptions=True)

    subscription = await kept
    assert [name for _, name in bus._channels] == [b"x"]
    await subscription.unsubscribe()
    assert not bus._channels


async def test_closed_bus_is_silent_and_refuses(
    connection: connect.Connection, server: LocalServer, make_bus: MakeBus, eventually: Eventually
) -> None:
    bus, inbox = make_bus(server.url), Inbox()
    subscription = await bus.subscribe("quiet", inbox)

    await bus.close()
    await bus.close()

    async def nobody_listens() -> bool:
        # The server may read this before it has seen the socket's end: it is another connection.
        return bool(await connection.transport.execute("PUBLISH", "quiet", "x") == 0)

    await eventually(nobody_listens)
    assert inbox == []
    with pytest.raises(ServerUnavailable, match="closed"):
        await bus.subscribe("quiet", inbox)
    await subscription.unsubscribe()


async def test_close_at_any_moment_of_connecting(server: LocalServer, make_bus: MakeBus) -> None:
    for turns in range(30):
        bus = make_bus(server.url)
        waiting = asyncio.create_task(bus.subscribe("x", Inbox()))
        for _ in range(turns):
            await asyncio.sleep(0)

        await bus.close()

        (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
        assert isinstance(outcome, (ServerUnavailable, connect.Subscription))


async def test_redis_62(redis62: LocalServer, eventually: Eventually) -> None:
    async with await connect.open(redis62.url) as connection:
        inbox, gaps = Inbox(), []
        connection.bus.on_gap.append(lambda: gaps.append(1))
        await connection.bus.subscribe("a", inbox)
        await connection.transport.execute("CLIENT", "KILL", "TYPE", "pubsub")
        await eventually(lambda: gaps)

        await connection.transport.execute("PUBLISH", "a", "1")

        await eventually(lambda: inbox == [(b"a", b"1")])

"""Callers that are cancelled, too many, blocked or closed upon: nobody else notices."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from hotmesh import connect
from hotmesh.connect import ReplyError, Transport
from hotmesh.connect.client import Dialer
from hotmesh.connect.url import parse_url
from hotmesh.errors import Overloaded, ServerUnavailable

if TYPE_CHECKING:
    from conftest import LocalServer
    from proxy import Proxy

BOTH_LOOPS = True

MakeTransport = Callable[..., Transport]


async def outcome(awaitable: Any) -> Any:
    try:
        return await awaitable
    except (ServerUnavailable, ReplyError) as exc:
        return exc


# -- cancellation


async def test_500_cancellations_mix_no_replies(
    server: LocalServer, make_transport: MakeTransport
) -> None:
    random_ = random.Random(7)
    transport = make_transport(server.port, in_flight_max=40)
    answered = cancelled = 0

    async def ask(word: str) -> None:
        if random_.random() < 0.5:
            assert await transport.execute("ECHO", word) == word.encode()
        else:
            echoes = [("ECHO", f"{word}.{i}") for i in range(random_.randint(1, 60))]
            expected = [echo[1].encode() for echo in echoes]
            assert await transport.execute_many(echoes) == expected

    while cancelled < 500:
        tasks = [asyncio.create_task(ask(f"{cancelled}:{i}")) for i in range(50)]
        for task in random_.sample(tasks, 25):
            for _ in range(random_.randint(0, 6)):
                await asyncio.sleep(0)
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            assert result is None or isinstance(result, asyncio.CancelledError), result
            answered += result is None
            cancelled += result is not None

    assert answered >= 250
    assert not transport._waiters
    assert transport._link.in_flight == 0
    assert await transport.execute("ECHO", "last") == b"last"


async def test_cancelled_before_the_connection_stands(
    connection: connect.Connection, server: LocalServer, make_transport: MakeTransport
) -> None:
    await connection.transport.execute("DEL", "early")
    transport = make_transport(server.port)

    tasks = [asyncio.create_task(transport.execute("RPUSH", "early", i)) for i in range(10)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    # Nobody waited for them any more when they could have been sent.
    pushed = await transport.execute("LRANGE", "early", 0, -1)
    assert pushed == [str(i).encode() for i in range(1, 10, 2)]


async def test_cancelled_connecting_leaves_the_others_connecting(
    own_server: LocalServer, make_transport: MakeTransport
) -> None:
    own_server.stop()
    transport = make_transport(own_server.port)
    first = asyncio.create_task(transport.execute("PING"))
    await asyncio.sleep(0.02)
    second = asyncio.create_task(transport.execute("PING"))
    await asyncio.sleep(0.02)

    first.cancel()
    await asyncio.to_thread(own_server.start)

    assert await second == b"PONG"
    with pytest.raises(asyncio.CancelledError):
        await first


# -- back-pressure


async def test_full_transport_refuses_send_and_lets_execute_wait(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port, in_flight_max=10)
    await transport.ready()
    proxy.flowing.clear()

    sent = [transport.send("ECHO", i) for i in range(10)]
    with pytest.raises(Overloaded, match="10 commands") as caught:
        transport.send("ECHO", "too many")
    waiting = [asyncio.create_task(transport.execute("ECHO", i)) for i in range(40)]
    batch = asyncio.create_task(transport.execute_many([("ECHO", i) for i in range(35)]))
    await asyncio.sleep(0.02)
    for task in waiting[::2]:
        task.cancel()
    assert transport._link.in_flight == 10
    proxy.flowing.set()

    assert caught.value.retry_after_ms > 0
    assert await asyncio.gather(*sent) == [str(i).encode() for i in range(10)]
    assert await asyncio.gather(*waiting[1::2]) == [str(i).encode() for i in range(1, 40, 2)]
    assert await batch == [str(i).encode() for i in range(35)]


async def test_bytes_that_the_peer_does_not_read_hold_senders_back(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port)
    await transport.ready()
    proxy.flowing.clear()
    value = b"x" * 1_000_000

    tasks = [asyncio.create_task(transport.execute("SET", "large", value)) for _ in range(60)]
    await asyncio.sleep(0.3)
    wire = transport._link.transport
    assert wire is not None
    held = transport._link.unsent + wire.get_write_buffer_size()
    with pytest.raises(Overloaded):
        transport.send("PING")
    proxy.flowing.set()

    # 4 MiB and what was packed in the turn that passed them.
    assert held < 12_000_000
    assert await asyncio.gather(*tasks) == [b"OK"] * 60
    await transport.execute("DEL", "large")


async def test_lost_connection_wakes_who_waited_for_room(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port, in_flight_max=5)
    await transport.ready()
    proxy.flowing.clear()
    tasks = [asyncio.create_task(outcome(transport.execute("ECHO", i))) for i in range(30)]
    await asyncio.sleep(0.02)

    proxy.flowing.set()
    proxy.cut()

    answers = await asyncio.gather(*tasks)
    assert all(isinstance(answer, ServerUnavailable) for answer in answers[:5])
    assert answers[5:] == [str(i).encode() for i in range(5, 30)]


# -- blocking reads


async def test_unblock_ends_a_blocked_read_and_loses_no_entry(
    connection: connect.Connection,
) -> None:
    transport = connection.transport
    reader = await connection.reader()
    await transport.execute("DEL", "stream")
    await transport.execute("XGROUP", "CREATE", "stream", "g", "$", "MKSTREAM")
    read = ("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", "stream", ">")
    seen = 0

    for turn in range(60):
        blocked = asyncio.create_task(reader.execute(*read))
        if turn % 2:
            await asyncio.sleep(0)
        await asyncio.gather(
            transport.execute("XADD", "stream", "*", "turn", turn), transport.unblock(reader)
        )
        while not blocked.done():
            await transport.unblock(reader)
            await asyncio.wait([blocked], timeout=0.01)
        seen += sum(len(entries) for _, entries in await blocked or [])
    while (rest := await reader.execute(*(arg if arg != 0 else 1 for arg in read))) is not None:
        seen += len(rest[0][1])

    assert seen == 60
    assert await transport.unblock(reader) is False


async def test_reader_outlives_the_command_timeout(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    reader = make_transport(proxy.port, command_timeout_s=None)
    await reader.ready()

    assert await reader.execute("BLPOP", "nothing-here", 0.5) is None
    assert reader._link._watchdog is None


# -- closing


async def test_close_fails_what_is_in_flight(proxy: Proxy, make_transport: MakeTransport) -> None:
    transport = make_transport(proxy.port, in_flight_max=10)
    await transport.ready()
    proxy.flowing.clear()
    tasks = [asyncio.create_task(outcome(transport.execute("ECHO", i))) for i in range(30)]
    sent = transport.send("PING")
    await asyncio.sleep(0.02)

    await transport.close()
    await transport.close()

    answers = [*await asyncio.gather(*tasks), await outcome(sent)]
    assert all(isinstance(a, ServerUnavailable) and "closed" in str(a) for a in answers)
    with pytest.raises(ServerUnavailable, match="closed"):
        await transport.execute("PING")
    with pytest.raises(ServerUnavailable, match="closed"):
        transport.send("PING")
    assert transport.client_id is None


async def test_close_while_connecting(
    own_server: LocalServer, make_transport: MakeTransport
) -> None:
    own_server.stop()
    for pause_s in (0, 0.01, 0.05):
        transport = make_transport(own_server.port)
        waiting = asyncio.create_task(outcome(transport.execute("PING")))
        await asyncio.sleep(pause_s)

        await transport.close()

        answer = await waiting
        assert isinstance(answer, ServerUnavailable)
        assert "closed" in str(answer)


async def test_close_at_any_moment_of_connecting(
    server: LocalServer, make_transport: MakeTransport
) -> None:
    for turns in range(40):
        transport = make_transport(server.port)
        waiting = asyncio.create_task(outcome(transport.execute("ECHO", turns)))
        for _ in range(turns):
            await asyncio.sleep(0)

        await transport.close()

        answer = await waiting
        assert answer == str(turns).encode() or isinstance(answer, ServerUnavailable)


async def test_close_before_use() -> None:
    transport = Transport(Dialer(parse_url("redis://127.0.0.1:1"), "test"))

    await transport.close()

    with suppress(ServerUnavailable):
        await transport.ready()
    assert transport.closed

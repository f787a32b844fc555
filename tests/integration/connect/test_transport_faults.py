"""Cuts, kills, restarts and silence: replies never mix, and what fails says so."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from hotmesh import connect
from hotmesh.connect import Commands, ReplyError, Transport
from hotmesh.errors import ServerUnavailable

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


# -- cuts


async def test_cut_at_every_byte_of_a_reply(
    connection: connect.Connection, proxy: Proxy, make_transport: MakeTransport
) -> None:
    await connection.transport.execute("SET", "cut", "hello")
    reply_bytes = len(b"$5\r\nhello\r\n")
    transport = make_transport(proxy.port)

    for cut in range(reply_bytes + 1):
        await transport.ready()
        proxy.reply_bytes_left = cut
        first, second = await asyncio.gather(
            outcome(transport.execute("GET", "cut")), outcome(transport.execute("ECHO", "next"))
        )
        proxy.reply_bytes_left = None

        if cut < reply_bytes:
            assert isinstance(first, ServerUnavailable)
        else:
            assert first == b"hello"
        assert isinstance(second, ServerUnavailable)
        assert await transport.execute_many([("GET", "cut"), ("ECHO", cut)]) == [
            b"hello",
            str(cut).encode(),
        ]
    assert proxy.connections == reply_bytes + 2


async def test_cut_in_a_batch_fails_the_batch_and_the_next_goes_on(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port)
    await transport.ready()
    proxy.reply_bytes_left = 1000

    with pytest.raises(ServerUnavailable, match="lost"):
        await transport.execute_many([("ECHO", "x" * 100)] * 50)
    proxy.reply_bytes_left = None

    assert await transport.execute_many([("ECHO", i) for i in range(3)]) == [b"0", b"1", b"2"]


async def test_nothing_is_sent_twice_after_a_lost_reply(
    connection: connect.Connection, proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port)
    await connection.transport.execute("DEL", "counter")
    for _ in range(10):
        await transport.ready()
        proxy.reply_bytes_left = 0
        assert isinstance(await outcome(transport.execute("INCR", "counter")), ServerUnavailable)
        proxy.reply_bytes_left = None

    assert await connection.transport.execute("GET", "counter") == b"10"


@pytest.mark.parametrize("garbage", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"+OK\r\n+OK\r\n+OK\r\n"])
async def test_what_is_no_reply_drops_the_connection(
    proxy: Proxy, make_transport: MakeTransport, garbage: bytes
) -> None:
    transport = make_transport(proxy.port)
    await transport.ready()
    proxy.rewrite = lambda data: garbage

    await outcome(transport.execute("ECHO", "a"))
    proxy.rewrite = lambda data: data

    assert await transport.execute("ECHO", "b") == b"b"
    assert proxy.connections == 2


async def test_client_kill_is_survived(
    connection: connect.Connection, server: LocalServer, make_transport: MakeTransport
) -> None:
    transport = make_transport(server.port)
    await transport.ready()
    first_id = transport.client_id

    answers = await asyncio.gather(
        *(outcome(transport.execute("INCRBY", "killed", i)) for i in range(200)),
        connection.transport.execute("CLIENT", "KILL", "ID", first_id),
        *(outcome(transport.execute("ECHO", i)) for i in range(200)),
    )

    assert all(isinstance(answer, (int, bytes, ServerUnavailable)) for answer in answers)
    echoes = [(i, answer) for i, answer in enumerate(answers[201:]) if isinstance(answer, bytes)]
    assert all(answer == str(i).encode() for i, answer in echoes)
    await transport.ready()
    assert transport.client_id not in (first_id, None)


# -- restarts, and what runs on connect


async def test_server_restart_is_waited_for(
    own_server: LocalServer, make_transport: MakeTransport
) -> None:
    transport = make_transport(own_server.port)
    assert await transport.execute("SET", "kept", "yes") == b"OK"

    own_server.stop()
    waiting = [asyncio.create_task(transport.execute("ECHO", i)) for i in range(20)]
    # The first may still meet the connection that is going down.
    results = [outcome(task) for task in waiting]
    await asyncio.sleep(0.05)
    await asyncio.to_thread(own_server.start)
    answers = await asyncio.gather(*results)

    for i, answer in enumerate(answers):
        assert answer == str(i).encode() or isinstance(answer, ServerUnavailable)
    assert await transport.execute("GET", "kept") == b"yes"


async def test_server_that_stays_away_is_reported_after_the_deadline(
    own_server: LocalServer, make_transport: MakeTransport
) -> None:
    own_server.stop()
    transport = make_transport(own_server.port, connect_deadline_s=0.3)
    began = time.monotonic()

    answers = await asyncio.gather(*(outcome(transport.execute("ECHO", i)) for i in range(50)))

    assert time.monotonic() - began < 3
    assert len(set(map(id, answers))) == 50
    for answer in answers:
        assert isinstance(answer, ServerUnavailable)
        assert f"127.0.0.1:{own_server.port} within 0.3 s" in str(answer)
        assert "start the server" in str(answer)
    assert isinstance(await outcome(transport.execute("PING")), ServerUnavailable)
    await asyncio.to_thread(own_server.start)
    assert await transport.execute("PING") == b"PONG"


async def test_on_connect_runs_before_all_other_commands(
    connection: connect.Connection,
    server: LocalServer,
    make_transport: MakeTransport,
    eventually: Callable[..., Any],
) -> None:
    shas: list[str] = []

    async def load(commands: Commands) -> None:
        shas[:] = [(await commands.execute("SCRIPT", "LOAD", "return 'loaded'")).decode()]
        assert await commands.execute_many([("ECHO", "x"), ("LPOP",)]) != []

    transport = make_transport(server.port)
    transport.on_connect.append(load)
    for _ in range(5):
        await connection.transport.execute("SCRIPT", "FLUSH")
        await transport.ready()
        sha = shas[0]
        old_id = transport.client_id
        await connection.transport.execute("SCRIPT", "FLUSH")
        await connection.transport.execute("CLIENT", "KILL", "ID", old_id)
        await eventually(lambda old_id=old_id: transport.client_id != old_id)

        replies = await asyncio.gather(*(transport.execute("EVALSHA", sha, 0) for _ in range(20)))

        assert replies == [b"loaded"] * 20


@pytest.mark.parametrize("fault", [ReplyError("ERR no"), RuntimeError("no"), TimeoutError()])
async def test_failing_on_connect_fails_who_waits_and_is_tried_again(
    server: LocalServer, make_transport: MakeTransport, fault: Exception
) -> None:
    faults = [fault]

    async def fail_once(commands: Commands) -> None:
        if faults:
            raise faults.pop()

    transport = make_transport(server.port)
    transport.on_connect.append(fail_once)

    with pytest.raises(ServerUnavailable, match="connecting failed") as caught:
        await transport.execute("PING")

    assert caught.value.__cause__ is fault
    assert await transport.execute("PING") == b"PONG"


async def test_hanging_on_connect_is_bounded(
    server: LocalServer, make_transport: MakeTransport
) -> None:
    transport = make_transport(server.port, connect_deadline_s=0.2, command_timeout_s=None)

    async def hang(commands: Commands) -> None:
        await commands.execute("BLPOP", "never-pushed", 0)

    transport.on_connect.append(hang)

    with pytest.raises(ServerUnavailable, match="connecting failed"):
        await transport.execute("PING")


# -- silence


async def test_silent_server_times_out_and_the_next_command_reconnects(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port, command_timeout_s=0.3)
    await transport.ready()
    proxy.flowing.clear()

    answers = await asyncio.gather(
        *(outcome(transport.execute("ECHO", i)) for i in range(5)),
        outcome(transport.execute_many([("ECHO", 1)] * 5)),
    )
    proxy.flowing.set()

    assert all(isinstance(answer, ServerUnavailable) for answer in answers)
    assert "has not answered for 0.3 s" in str(answers[0])
    assert await transport.execute("ECHO", "back") == b"back"
    assert proxy.connections == 2


async def test_slow_but_steady_reply_is_no_silence(
    proxy: Proxy, make_transport: MakeTransport
) -> None:
    transport = make_transport(proxy.port, command_timeout_s=0.4)
    await transport.execute("SET", "slow", b"x" * 2_000_000)
    proxy.pause_s = 0.04

    reply = await transport.execute("GET", "slow")  # over 1 s in all

    assert len(reply) == 2_000_000
    await transport.execute("DEL", "slow")
    assert proxy.connections == 1


async def test_blocked_event_loop_is_no_silence(
    server: LocalServer, make_transport: MakeTransport
) -> None:
    transport = make_transport(server.port, command_timeout_s=0.2)
    await transport.ready()
    first_id = transport.client_id

    for _ in range(3):
        reply = transport.send("ECHO", "there")
        await asyncio.sleep(0)  # the command goes out
        time.sleep(0.5)  # noqa: ASYNC251  # user code that blocks

        assert await reply == b"there"
    assert transport.client_id == first_id


async def test_idle_connection_is_left_alone(
    server: LocalServer, make_transport: MakeTransport, eventually: Callable[..., Any]
) -> None:
    transport = make_transport(server.port, command_timeout_s=0.1)
    await transport.ready()
    first_id = transport.client_id

    await eventually(lambda: transport._link._watchdog is None, within_s=5)

    assert await transport.execute("PING") == b"PONG"
    assert transport.client_id == first_id


async def test_paused_server_times_out_then_recovers(
    own_server: LocalServer, make_transport: MakeTransport
) -> None:
    transport = make_transport(own_server.port, command_timeout_s=0.2)
    await transport.ready()

    own_server.signal(signal.SIGSTOP)
    assert isinstance(await outcome(transport.execute("PING")), ServerUnavailable)
    own_server.signal(signal.SIGCONT)

    assert await transport.execute("PING") == b"PONG"


async def test_server_that_accepts_and_says_nothing(make_transport: MakeTransport) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1_000_000)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        transport = make_transport(port, connect_deadline_s=0.2)

        with pytest.raises(ServerUnavailable, match=r"did not answer within 0\.2 s"):
            await transport.execute("PING")

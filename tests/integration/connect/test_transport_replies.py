"""The transport gives what the plain client gives, in order, whatever the shape and size."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import pytest
from redis._parsers.base import BaseParser
from redis.asyncio.connection import Connection as PlainConnection
from redis.exceptions import RedisError

from hotmesh import connect
from hotmesh.connect import ReplyError, Transport
from hotmesh.connect.transport import Arg

if TYPE_CHECKING:
    from conftest import LocalServer

BOTH_LOOPS = True

KEYS = ["a", b"b\x00\xff", "é", "{t}:1"]
VALUES: list[Arg] = [
    b"",
    b"\r\n$5\r\n",
    bytes(range(256)),
    "ünï",
    -7,
    2**63,
    3.25,
    1e300,
    b"x" * 9000,
]


def random_command(random_: random.Random) -> tuple[Arg, ...]:
    key, value = random_.choice(KEYS), random_.choice(VALUES)
    return random_.choice(
        [
            ("SET", key, value),
            ("GET", key),
            ("APPEND", key, value),
            ("INCRBY", key, random_.randint(-9, 9)),
            ("INCRBYFLOAT", key, 0.5),
            ("DEL", key, random_.choice(KEYS)),
            ("RPUSH", key, value, random_.choice(VALUES)),
            ("LPOP", key, 2),
            ("LRANGE", key, 0, -1),
            ("HSET", key, "f", value, b"\x00", 1),
            ("HMGET", key, "f", "none", b"\x00"),
            ("ZADD", key, random_.randint(0, 9), value),
            ("ZRANGE", key, 0, -1, "WITHSCORES"),
            ("XADD", key, "MAXLEN", 3, f"{random_.randint(1, 9)}-1", "f", value),
            ("XRANGE", key, "-", "+"),
            ("TYPE", key),
            ("NOSUCHCOMMAND", value),
            ("GET",),
            ("EVAL", "return {1, {'x', {}}, redis.error_reply('ODD one'), false}", 0),
            ("EVAL", "return ARGV", 0, value, key),
        ]
    )


async def plain_reply(plain: PlainConnection, command: tuple[Arg, ...]) -> Any:
    await plain.send_command(*command)
    try:
        return await plain.read_response()
    except RedisError as exc:
        return exc


def comparable(reply: Any) -> Any:
    """Errors as their text, without the first word if it is one that redis-py strips."""
    if isinstance(reply, list):
        return [comparable(part) for part in reply]
    if isinstance(reply, ReplyError):
        word, _, rest = str(reply).partition(" ")
        return ("error", rest if word in BaseParser.EXCEPTION_CLASSES else str(reply))
    return ("error", str(reply)) if isinstance(reply, Exception) else reply


@pytest.mark.parametrize("seed", range(3))
async def test_replies_equal_those_of_the_plain_client(server: LocalServer, seed: int) -> None:
    random_ = random.Random(seed)
    commands = [random_command(random_) for _ in range(1500)]
    plain = PlainConnection(host="127.0.0.1", port=server.port, db=9, protocol=2)
    async with contextlib.AsyncExitStack() as stack:
        # In every case: uvloop hangs when one that was left open is collected under another loop.
        stack.push_async_callback(plain.disconnect)
        await plain.connect()
        ours = await stack.enter_async_context(
            await connect.open(f"redis://127.0.0.1:{server.port}/10")
        )
        await plain_reply(plain, ("FLUSHDB",))
        await ours.transport.execute("FLUSHDB")
        expected = [comparable(await plain_reply(plain, command)) for command in commands]

        got, at = [], 0
        while at < len(commands):
            batch = commands[at : at + random_.choice([1, 1, 2, 3, 50])]
            if len(batch) == 1:
                try:
                    got.append(await ours.transport.execute(*batch[0]))
                except ReplyError as exc:
                    got.append(exc)
            else:
                got += await ours.transport.execute_many(batch)
            at += len(batch)

        assert [comparable(reply) for reply in got] == expected, f"seed {seed}"


async def test_every_kind_of_argument_arrives_as_its_bytes(connection: connect.Connection) -> None:
    args: list[Arg] = [b"\x00\r\n\xff", "é", 12, -(2**80), 0.1, 1e300, b""]

    reply = await connection.transport.execute("EVAL", "return ARGV", 0, *args)

    expected = [
        b"\x00\r\n\xff",
        "é".encode(),
        b"12",
        str(-(2**80)).encode(),
        b"0.1",
        b"1e+300",
        b"",
    ]
    assert reply == expected


@pytest.mark.parametrize("args", [(), ("SET", "k", True), ("SET", "k", None), ("SET", "k", ["x"])])
async def test_what_is_no_command_is_refused_before_it_is_sent(
    connection: connect.Connection, args: Any
) -> None:
    transport = connection.transport
    with pytest.raises((TypeError, ValueError)):
        await transport.execute(*args)
    with pytest.raises((TypeError, ValueError)):
        transport.send(*args)
    with pytest.raises((TypeError, ValueError)):
        await transport.execute_many([("PING",), args])

    assert await transport.execute("ECHO", "in order") == b"in order"


async def test_big_replies_and_requests(connection: connect.Connection) -> None:
    big = random.Random(1).randbytes(5_000_000)

    await connection.transport.execute("SET", "big", big)
    replies = await asyncio.gather(
        connection.transport.execute("GET", "big"),
        connection.transport.execute("ECHO", "small"),
        connection.transport.execute_many([("GET", "big"), ("STRLEN", "big")]),
    )
    await connection.transport.execute("DEL", "big")

    assert replies == [big, b"small", [big, 5_000_000]]


async def test_nested_and_long_arrays(connection: connect.Connection) -> None:
    deep = "return {1,{2,{3,{4,{5,{6,{7,{8,{9}}}}}}}}}"
    long = "local t = {} for i = 1, 50000 do t[i] = {i, 'v'} end return t"

    replies = await connection.transport.execute_many([("EVAL", deep, 0), ("EVAL", long, 0)])

    assert replies[0] == [1, [2, [3, [4, [5, [6, [7, [8, [9]]]]]]]]]
    assert len(replies[1]) == 50_000
    assert replies[1][-1] == [50_000, b"v"]


async def test_error_in_the_middle_of_a_batch_is_one_of_its_replies(
    connection: connect.Connection,
) -> None:
    replies = await connection.transport.execute_many(
        [("SET", "s", "x"), ("LPOP", "s"), ("EVALSHA", "0" * 40, 0), ("GET", "s")]
    )

    assert replies[0] == b"OK"
    assert [(type(error), error.kind) for error in replies[1:3]] == [
        (ReplyError, "WRONGTYPE"),
        (ReplyError, "NOSCRIPT"),
    ]
    assert replies[3] == b"x"
    with pytest.raises(ReplyError, match="WRONGTYPE Operation against") as caught:
        await connection.transport.execute("LPOP", "s")
    assert caught.value.kind == "WRONGTYPE"


async def test_error_text_that_is_not_utf8_does_no_harm(connection: connect.Connection) -> None:
    script = "return redis.error_reply('ODD \\255\\254 text')"

    with pytest.raises(ReplyError) as caught:
        await connection.transport.execute("EVAL", script, 0)

    assert caught.value.kind == "ODD"


async def test_commands_of_one_turn_are_one_write(connection: connect.Connection) -> None:
    transport = connection.transport
    await transport.ready()
    wire = transport._link
    writes: list[bytes] = []
    real = wire.transport
    assert real is not None

    class Recorder:
        def write(self, data: bytes) -> None:
            writes.append(data)
            real.write(data)

    async def sent() -> Any:
        return await transport.send("ECHO", "sent")

    wire.transport = Recorder()  # type: ignore[assignment]
    replies = await asyncio.gather(
        *(transport.execute("ECHO", i) for i in range(50)),
        transport.execute_many([("ECHO", "many")] * 3),
        sent(),
    )
    wire.transport = real

    assert replies == [*(str(i).encode() for i in range(50)), [b"many"] * 3, b"sent"]
    assert len(writes) == 1


async def test_empty_batch_has_no_replies(connection: connect.Connection) -> None:
    assert await connection.transport.execute_many([]) == []


async def test_many_tasks_get_their_own_replies(connection: connect.Connection) -> None:
    async def talk(transport: Transport, who: int) -> None:
        for turn in range(30):
            word = f"{who}:{turn}"
            assert await transport.execute("ECHO", word) == word.encode()
            assert await transport.execute_many([("ECHO", word), ("ECHO", turn)]) == [
                word.encode(),
                str(turn).encode(),
            ]

    await asyncio.gather(*(talk(connection.transport, who) for who in range(100)))


async def test_redis_62(redis62: LocalServer) -> None:
    for url in (redis62.url, redis62.unix_url):
        async with await connect.open(url) as connection:
            transport = connection.transport
            replies = await transport.execute_many([("SET", "a", 1), ("INCR", "a"), ("LPOP", "a")])

            assert replies[:2] == [b"OK", 2]
            assert replies[2].kind == "WRONGTYPE"
            assert isinstance(transport.client_id, int)

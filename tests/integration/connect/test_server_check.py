"""A server that would lose work is refused, with what to do; what is doubtful is told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from hotmesh import connect
from hotmesh.errors import ServerUnavailable, ServerUnsuitable

if TYPE_CHECKING:
    from conftest import LocalServer


async def test_good_server_has_no_warnings(own_server: LocalServer) -> None:
    async with await connect.open(own_server.url) as connection:
        facts = await connect.check(connection.transport)

    assert facts.kind == "valkey"
    assert facts.version is not None
    assert facts.version.split(".")[0] >= "9"
    assert (facts.aof, facts.role, facts.maxmemory_policy) == (True, "master", "noeviction")
    assert facts.maxmemory_bytes == 0
    assert facts.used_memory_bytes is not None
    assert facts.used_memory_bytes > 100_000
    assert facts.warnings == ()


async def test_redis_62_is_good_enough(redis62: LocalServer) -> None:
    async with await connect.open(redis62.url) as connection:
        facts = await connect.check(connection.transport)

    assert facts.kind == "redis"
    assert facts.version is not None
    assert facts.version.startswith("6.2.")
    (warning,) = facts.warnings
    assert "appendonly is off: a crash of the server loses" in warning
    assert "CONFIG SET appendonly yes" in warning


@pytest.mark.parametrize("maxmemory", ["0", "100mb"])
async def test_evicting_policy_is_refused_or_warned_of(
    own_server: LocalServer, maxmemory: str
) -> None:
    async with await connect.open(own_server.url) as connection:
        transport = connection.transport
        await transport.execute("CONFIG", "SET", "maxmemory", maxmemory)
        await transport.execute("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")

        with pytest.raises(
            ServerUnsuitable, match="run CONFIG SET maxmemory-policy noeviction"
        ) as caught:
            await connect.check(transport)
        facts = await connect.check(transport, allow_eviction=True)

    assert "allkeys-lru" in str(caught.value)
    assert "allow_eviction=True" in str(caught.value)
    assert facts.maxmemory_bytes == (0 if maxmemory == "0" else 100 * 1024 * 1024)
    (warning,) = facts.warnings
    assert "CONFIG SET maxmemory-policy noeviction" in warning


async def test_replica_is_refused_and_its_primary_named(
    own_server: LocalServer, server: LocalServer
) -> None:
    async with await connect.open(own_server.url) as connection:
        await connection.transport.execute("REPLICAOF", "127.0.0.1", server.port)

        with pytest.raises(ServerUnsuitable, match=f"its primary .127.0.0.1:{server.port}"):
            await connect.check(connection.transport)


@pytest.fixture
def old_server(own_server: LocalServer) -> Iterator[LocalServer]:
    own_server.stop()
    own_server.options = ["--rename-command", "XAUTOCLAIM", ""]
    own_server.start()
    yield own_server


async def test_server_without_xautoclaim_is_refused(old_server: LocalServer) -> None:
    async with await connect.open(old_server.url) as connection:
        with pytest.raises(ServerUnsuitable, match=r"has no XAUTOCLAIM; hotmesh needs Redis 6\.2"):
            await connect.check(connection.transport)


async def test_sentinel_is_refused(own_server: LocalServer) -> None:
    own_server.stop()
    config = own_server.folder / "sentinel.conf"
    config.touch()
    binary, *_ = own_server.command
    own_server.command = [
        *(binary, str(config), "--sentinel", "--port", str(own_server.port)),
        *("--bind", "127.0.0.1", "--dir", str(own_server.folder)),
    ]
    own_server.start()

    async with await connect.open(own_server.url) as connection:
        with pytest.raises(ServerUnsuitable, match="this is a Sentinel"):
            await connect.check(connection.transport)


async def test_what_may_not_be_asked_is_told(own_server: LocalServer) -> None:
    async with await connect.open(own_server.url) as connection:
        transport = connection.transport
        for name, rules in {
            "nothing": ["+@all", "-info", "-config", "-command", "-role"],
            "some": ["+@all", "-info"],
        }.items():
            await transport.execute("ACL", "SETUSER", name, "on", ">pw", "~*", "&*", *rules)

        async with await connect.open(own_server.url.replace("//", "//nothing:pw@")) as limited:
            nothing = await connect.check(limited.transport)
        async with await connect.open(own_server.url.replace("//", "//some:pw@")) as limited:
            some = await connect.check(limited.transport)
            await transport.execute("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
            with pytest.raises(ServerUnsuitable, match="volatile-ttl"):
                await connect.check(limited.transport)
            await transport.execute("REPLICAOF", "127.0.0.1", 1)
            with pytest.raises(ServerUnsuitable, match=r"primary .127\.0\.0\.1:1\)"):
                await connect.check(limited.transport)

    assert (nothing.version, nothing.aof, nothing.role) == (None, None, None)
    assert len(nothing.warnings) == 3
    assert (some.role, some.maxmemory_policy, some.aof) == ("master", "noeviction", None)
    (warning,) = some.warnings
    assert "appendonly could not be read" in warning


async def test_unreachable_server_is_unavailable(own_server: LocalServer) -> None:
    async with await connect.open(own_server.url) as connection:
        own_server.stop()
        connection.transport._deadline_s = 0.2

        with pytest.raises(ServerUnavailable):
            await connect.check(connection.transport)
        with pytest.raises(ServerUnavailable, match="no connection to Redis at"):
            await connect.check(connection.transport)

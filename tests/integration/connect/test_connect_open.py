"""`connect.open`: what is owned, what is shared, who may sign in, and what the errors say."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis.asyncio as redis_asyncio
from proxy import Proxy
from redis.credentials import UsernamePasswordCredentialProvider

from hotmesh import connect
from hotmesh.connect.client import Dialer
from hotmesh.connect.url import parse_url
from hotmesh.errors import ConnectionInvalid, ServerUnavailable, ServerUnsuitable

if TYPE_CHECKING:
    from conftest import LocalServer

BOTH_LOOPS = True
SECRET = "s3cret-tooth"


async def clients(transport: connect.Transport) -> list[dict[str, str]]:
    lines = (await transport.execute("CLIENT", "LIST")).decode().splitlines()
    return [dict(part.partition("=")[::2] for part in line.split()) for line in lines]


# -- what is opened and closed


async def test_tcp_and_unix_urls_with_a_database(server: LocalServer) -> None:
    for url in (f"redis://localhost:{server.port}/5", f"{server.unix_url}?db=5"):
        async with await connect.open(url, role="my role") as connection:
            transport = connection.transport
            await transport.execute("SET", "where", url)

            (me,) = [c for c in await clients(transport) if c["id"] == str(transport.client_id)]
            assert me["db"] == "5"
            assert me["name"] == f"hotmesh:my_role:{os.getpid()}"
            assert me.get("resp", "2") == "2"
            assert repr(connection) == f"<hotmesh Connection to {connection.url_masked}>"


async def test_close_closes_all_that_was_opened(
    connection: connect.Connection, server: LocalServer, eventually: Callable[..., Any]
) -> None:
    other = await connect.open(server.url, role="to-be-closed")
    reader = await other.reader()
    early = await other.reader()
    await early.close()
    await other.reader()
    await other.bus.subscribe("x", lambda channel, payload: None)
    name = f"hotmesh:to-be-closed:{os.getpid()}"
    assert [c["name"] for c in await clients(connection.transport)].count(name) == 4

    await other.close()
    await other.close()

    assert reader.closed

    async def all_are_gone() -> bool:
        return name not in [c["name"] for c in await clients(connection.transport)]

    await eventually(all_are_gone)
    for use in (other.reader, lambda: other.transport.execute("PING")):
        with pytest.raises(ServerUnavailable, match="closed"):
            await use()


async def test_bus_of_a_closed_connection_is_refused(server: LocalServer) -> None:
    async with await connect.open(server.url) as connection:
        pass

    with pytest.raises(ServerUnavailable, match="closed"):
        _ = connection.bus


async def test_unclosed_connection_warns(server: LocalServer) -> None:
    connection = await connect.open(server.url)
    transport = connection.transport

    with pytest.warns(ResourceWarning, match="never closed; call close"):
        del connection
        gc.collect()

    await transport.close()


async def test_foreign_client_and_pool_are_asked_and_left_open(server: LocalServer) -> None:
    client = redis_asyncio.Redis.from_url(f"{server.url}?db=3", decode_responses=True)
    await client.set("theirs", "é")

    for source in (client, client.connection_pool):
        async with await connect.open(source) as connection:
            assert await connection.transport.execute("GET", "theirs") == "é".encode()
            assert connection.url_masked == f"redis://127.0.0.1:{server.port}/3"

    assert await client.get("theirs") == "é"
    await client.aclose()


async def test_connection_is_shared_and_closed_by_its_owner_only(
    connection: connect.Connection,
) -> None:
    async with await connect.open(connection, role="borrower") as borrower:
        assert borrower.transport is connection.transport
        assert borrower.bus is connection.bus
        reader = await borrower.reader()

    assert reader.closed
    assert await connection.transport.execute("PING") == b"PONG"


async def test_variable_is_used_when_there_is_no_argument(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTMESH_REDIS_URL", server.unix_url)

    async with await connect.open() as connection:
        assert await connection.transport.execute("PING") == b"PONG"
        assert connection.url_masked.startswith("unix://")


async def test_embedded_server_is_released_with_the_connection(tmp_path: Path) -> None:
    async with await connect.open(home=tmp_path) as connection:
        assert connection.url_masked.startswith("unix://")
        await connection.transport.execute("SET", "kept", 1)
        pid = int(
            (await connection.transport.execute("INFO", "server"))
            .split(b"process_id:")[1]
            .split()[0]
        )

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_wrong_argument_is_refused() -> None:
    with pytest.raises(ConnectionInvalid, match=r"builtins\.dict"):
        await connect.open({"host": "localhost"})  # type: ignore[arg-type]


# -- who may sign in


async def test_users_passwords_and_providers(own_server: LocalServer) -> None:
    async with await connect.open(own_server.url) as connection:
        await connection.transport.execute(
            "ACL", "SETUSER", "alice", "on", f">{SECRET}", "~*", "&*", "+@all"
        )
        good = [
            f"redis://alice:{SECRET}@127.0.0.1:{own_server.port}",
            f"unix://alice:{SECRET}@{own_server.socket}",
            redis_asyncio.Redis(port=own_server.port, username="alice", password=SECRET),
            redis_asyncio.Redis(
                port=own_server.port,
                credential_provider=UsernamePasswordCredentialProvider("alice", SECRET),
            ),
        ]
        for source in good:
            async with await connect.open(source) as opened:
                assert await opened.transport.execute("ACL", "WHOAMI") == b"alice"
                assert SECRET not in f"{opened!r} {opened.url_masked}"


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_wrong_password_names_the_user_only(own_server: LocalServer, kind: str) -> None:
    place = f"127.0.0.1:{own_server.port}" if kind == "tcp" else str(own_server.socket)
    scheme = "redis" if kind == "tcp" else "unix"

    with pytest.raises(ServerUnavailable, match="refuses user 'alice'") as caught:
        await connect.open(f"{scheme}://alice:{SECRET}@{place}")

    assert place in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("kind", ["tcp", "unix"])
async def test_missing_password_is_told_at_once(own_server: LocalServer, kind: str) -> None:
    async with await connect.open(own_server.url) as connection:
        await connection.transport.execute("CONFIG", "SET", "requirepass", SECRET)
        began = asyncio.get_running_loop().time()

        with pytest.raises(ServerUnavailable, match="refuses user 'default'"):
            await connect.open(own_server.url if kind == "tcp" else own_server.unix_url)

        assert asyncio.get_running_loop().time() - began < 2  # not tried until the deadline


async def test_user_that_may_do_little_can_connect(own_server: LocalServer) -> None:
    async with await connect.open(own_server.url) as connection:
        await connection.transport.execute(
            "ACL", "SETUSER", "bob", "on", ">pw", "~*", "+echo", "+client|setname"
        )
        url = own_server.url.replace("redis://", "redis://bob:pw@")
        async with await connect.open(url) as limited:
            assert await limited.transport.execute("ECHO", "x") == b"x"
            assert limited.transport.client_id is None
            assert await connection.transport.unblock(limited.transport) is False


# -- what is wrong at the other end


async def test_nothing_listens(own_server: LocalServer) -> None:
    own_server.stop()
    dialer = Dialer(parse_url(own_server.url), "test")

    with pytest.raises(ServerUnavailable) as caught:
        await dialer(0.2)

    assert f"no connection to Redis at 127.0.0.1:{own_server.port}" in str(caught.value)
    assert "start the server, or correct redis= or HOTMESH_REDIS_URL" in str(caught.value)


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00"])
async def test_what_listens_is_no_redis(words: bytes) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]

        with pytest.raises(ServerUnsuitable, match="does not speak the protocol of Redis"):
            await connect.open(f"redis://127.0.0.1:{port}")


async def test_full_server_is_tried_again(
    own_server: LocalServer, eventually: Callable[..., Any]
) -> None:
    async with await connect.open(own_server.url) as connection:
        await connection.transport.execute("CONFIG", "SET", "maxclients", 1)
        opening = asyncio.create_task(connect.open(own_server.unix_url))
        await asyncio.sleep(0.1)
        assert not opening.done()

        await connection.transport.execute("CONFIG", "SET", "maxclients", 100)

        async with await opening as second:
            assert await second.transport.execute("PING") == b"PONG"


async def test_loading_server_is_waited_for(own_server: LocalServer) -> None:
    async with await connect.open(own_server.url) as connection:
        await connection.transport.execute_many([("SET", f"k{i}", i) for i in range(3000)])
    own_server.stop()
    own_server.options = ["--key-load-delay", "300"]  # some 0.9 s in all
    await asyncio.to_thread(own_server.start)

    with pytest.raises(ServerUnavailable, match=r"still loads its data|did not answer"):
        await Dialer(parse_url(own_server.url), "test")(0.2)
    async with await connect.open(own_server.url) as connection:
        assert await connection.transport.execute("DBSIZE") == 3000


# -- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and its key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    command += ["-addext", names, "-days", "2", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes(pem.read_bytes() + key.read_bytes())
    return both


async def test_tls(server: LocalServer, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Proxy(server.port, tls=context) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/2?ssl_ca_certs={certificate}"
        async with await connect.open(url) as connection:
            transport = connection.transport
            big = os.urandom(5_000_000)
            await transport.execute("SET", "tls", big)

            replies = await asyncio.gather(
                transport.execute("GET", "tls"),
                *(transport.execute("ECHO", i) for i in range(100)),
            )

            assert replies == [big, *(str(i).encode() for i in range(100))]
            await transport.execute("DEL", "tls")
            proxy.cut()
            await asyncio.wait([transport._link.closed], timeout=5)
            assert await transport.execute("ECHO", "again") == b"again"
            assert connection.url_masked == f"rediss://127.0.0.1:{proxy.port}/2"


async def test_certificate_that_is_not_trusted_is_refused(
    server: LocalServer, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Proxy(server.port, tls=context) as proxy:
        with pytest.raises(ServerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            await Dialer(parse_url(f"rediss://127.0.0.1:{proxy.port}"), "test")(0.2)


async def test_stopped_process_does_not_hang_close(own_server: LocalServer) -> None:
    connection = await connect.open(own_server.url)
    reader = await connection.reader()
    await connection.bus.subscribe("x", lambda channel, payload: None)
    own_server.signal(signal.SIGSTOP)
    sent = connection.transport.send("SET", "k", b"x" * 8_000_000)
    blocked = asyncio.ensure_future(reader.execute("BLPOP", "none", 0))
    await asyncio.sleep(0.05)

    async with asyncio.timeout(2):
        await connection.close()

    for future in (sent, blocked):
        with pytest.raises(ServerUnavailable, match="closed"):
            await future

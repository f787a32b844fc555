"""`redis=` in all its forms, and that no message of it gives a password away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio as redis_asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.credentials import UsernamePasswordCredentialProvider

from hotmesh.connect.url import Address, EmbeddedHome, parse_url, resolve
from hotmesh.errors import ConnectionInvalid

SECRET = "s3cret-tooth"


@pytest.mark.parametrize(
    ("url", "kind", "options", "masked"),
    [
        (
            "redis://",
            Connection,
            {"host": "localhost", "port": 6379},
            "redis://localhost:6379/0",
        ),
        (
            "REDIS://db.example:7000/3",
            Connection,
            {"host": "db.example", "port": 7000, "db": 3},
            "redis://db.example:7000/3",
        ),
        (
            f"redis://:{SECRET}@h",
            Connection,
            {"host": "h", "port": 6379, "password": SECRET},
            "redis://:***@h:6379/0",
        ),
        (
            "redis://al%40ice:p%2Fq%23r%3F@[::1]:1/?db=2",
            Connection,
            {"host": "::1", "port": 1, "db": 2, "username": "al@ice", "password": "p/q#r?"},
            "redis://al%40ice:***@[::1]:1/2",
        ),
        (
            f"rediss://u@h?password={SECRET}&ssl_cert_reqs=none&ssl_check_hostname=no",
            SSLConnection,
            {
                "host": "h",
                "port": 6379,
                "username": "u",
                "password": SECRET,
                "ssl_cert_reqs": "none",
                "ssl_check_hostname": False,
            },
            "rediss://u:***@h:6379/0",
        ),
        (
            f"unix://u:{SECRET}@/run/my%20redis.sock?db=4",
            UnixDomainSocketConnection,
            {"path": "/run/my redis.sock", "db": 4, "username": "u", "password": SECRET},
            "unix://u:***@/run/my redis.sock?db=4",
        ),
    ],
)
def test_url_becomes_an_address(url: str, kind: type, options: dict[str, Any], masked: str) -> None:
    address = parse_url(url)

    assert (address.kind, dict(address.options), address.masked) == (kind, options, masked)
    assert SECRET not in repr(address)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"http://u:{SECRET}@h", "scheme http://"),
        (f"redis+sentinel://u:{SECRET}@h/0", "Sentinel, which comes in a later release"),
        (f"redis+cluster://u:{SECRET}@h", "Cluster, which comes in a later release"),
        (f"u:{SECRET}@h:6379", "not a URL"),
        ("", "not a URL"),
        (f"redis://:{SECRET}/x@h:6379", "percent-encode"),
        (f"redis://:x/{SECRET}@h:6379", "percent-encode"),
        (f"redis://:x#{SECRET}@h:6379", "percent-encode"),
        (f"redis://:x?{SECRET}@h:6379", "percent-encode"),
        (f"redis://u:{SECRET}@h:99999", "port or host"),
        (f"redis://u:{SECRET}@[h", "port or host"),
        (f"redis://u:{SECRET}@h/zero", "database"),
        (f"redis://u:{SECRET}@h?db=-1", "option db of redis= must be a whole number"),
        (f"redis://u:{SECRET}@h?prtocol=3", "prtocol"),
        (f"redis://u:{SECRET}@h?ssl_certfile=x", "takes db, password, username"),
        (f"redis://u@h?password={SECRET}&%00", "not a plain name"),
        (f"rediss://u:{SECRET}@h?ssl_cert_reqs=maybe", "required, optional or none"),
        (f"rediss://u:{SECRET}@h?ssl_check_hostname=maybe", "true or false"),
        (f"rediss://u:{SECRET}@h?ssl_ca_certs=", "is empty"),
        (f"unix://u:{SECRET}@tmp/redis.sock", "absolute path"),
        ("unix://", "absolute path"),
    ],
)
def test_wrong_url_is_refused_without_its_password(url: str, says: str) -> None:
    with pytest.raises(ConnectionInvalid) as caught:
        parse_url(url)

    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("redis_", "says"),
    [
        (redis.Redis(), "not the blocking redis.Redis"),
        (6379, "builtins.int"),
        (redis_asyncio.Redis, "redis.asyncio.Redis or ConnectionPool"),
    ],
)
def test_wrong_type_is_refused_and_the_right_ones_are_named(redis_: Any, says: str) -> None:
    with pytest.raises(ConnectionInvalid, match=says):
        resolve(redis_, environ={})


def test_sentinel_client_is_refused() -> None:
    client = redis_asyncio.Sentinel([("h", 1)]).master_for("main")

    with pytest.raises(ConnectionInvalid, match="later release"):
        resolve(client, environ={})


def test_address_of_a_client_takes_identity_and_tls_only() -> None:
    provider = UsernamePasswordCredentialProvider("u", SECRET)
    client = redis_asyncio.Redis(
        host="h",
        port=1,
        db=2,
        credential_provider=provider,
        decode_responses=True,
        socket_timeout=77,
        ssl=True,
        ssl_certfile="cert.pem",
    )

    address = resolve(client, environ={})

    assert isinstance(address, Address)
    assert address.kind is SSLConnection
    assert address.options["credential_provider"] is provider
    assert (address.options["host"], address.options["port"], address.options["db"]) == ("h", 1, 2)
    assert address.options["ssl_certfile"] == "cert.pem"
    assert not {"decode_responses", "socket_timeout", "retry", "protocol"} & set(address.options)
    assert SECRET not in repr(address)


def test_address_of_a_pool_on_a_unix_socket() -> None:
    pool = redis_asyncio.ConnectionPool.from_url(f"unix://u:{SECRET}@/run/r.sock?db=5")

    address = resolve(pool, environ={})

    assert isinstance(address, Address)
    assert address.masked == "unix://u:***@/run/r.sock?db=5"


def test_none_means_the_variable_then_the_embedded_server(tmp_path: Path) -> None:
    url = {"HOTMESH_REDIS_URL": "redis://h:1/2", "HOTMESH_HOME": "/elsewhere"}

    from_variable = resolve(None, environ=url)

    assert isinstance(from_variable, Address)
    assert from_variable.masked == "redis://h:1/2"
    assert resolve(None, environ={}) == EmbeddedHome(Path.cwd() / ".hotmesh")
    assert resolve(None, environ={"HOTMESH_REDIS_URL": ""}) == EmbeddedHome(Path.cwd() / ".hotmesh")
    assert resolve(None, environ={"HOTMESH_HOME": "/srv/x"}) == EmbeddedHome(Path("/srv/x"))
    assert resolve(None, home=tmp_path, environ={"HOTMESH_HOME": "/x"}) == EmbeddedHome(tmp_path)
    assert isinstance(resolve("redis://other", environ=url), Address)


def test_wrong_variable_is_named() -> None:
    with pytest.raises(ConnectionInvalid, match="HOTMESH_REDIS_URL has the scheme amqp://"):
        resolve(None, environ={"HOTMESH_REDIS_URL": f"amqp://u:{SECRET}@h"})

"""Whether a server can be worked on: asked once at start-up, told in words that say what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hotmesh.connect.transport import Commands, ReplyError
from hotmesh.errors import ServerUnsuitable


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What the server says about itself; None where it does not permit the question.

    Attributes:
        kind: `redis` or `valkey`.
        version: For people. Valkey also reports a Redis version, so probe features instead.
        aof: Whether it keeps an append-only file.
        role: `master` or `slave`, in the server's words.
        used_memory_bytes, maxmemory_bytes: The latter is 0 without a limit.
        warnings: Sentences for the log: what works but may lose data, or could not be checked.
    """

    kind: str
    version: str | None
    aof: bool | None
    maxmemory_policy: str | None
    role: str | None
    used_memory_bytes: int | None
    maxmemory_bytes: int | None
    warnings: tuple[str, ...] = ()


async def check(transport: Commands, *, allow_eviction: bool = False) -> ServerFacts:
    """Look at the server and refuse one that would lose work.

    Args:
        transport: Connects, and has said by then if nothing is there or if it is no Redis.
        allow_eviction: Accept a `maxmemory-policy` that deletes keys, with a warning.

    Raises:
        ServerUnsuitable: Older than Redis 6.2, a replica, a Sentinel, or keys would be evicted.
        ServerUnavailable: It can't be reached, or refuses us.
    """
    info_reply, command, role_reply, policy_reply = await transport.execute_many(
        [
            ("INFO",),
            ("COMMAND", "INFO", "XAUTOCLAIM"),
            ("ROLE",),
            ("CONFIG", "GET", "maxmemory-policy"),
        ]
    )
    info = parse_info(info_reply)
    facts = ServerFacts(
        kind="valkey" if "valkey_version" in info else "redis",
        version=info.get("valkey_version") or info.get("redis_version"),
        aof=info["aof_enabled"] == "1" if "aof_enabled" in info else None,
        maxmemory_policy=info.get("maxmemory_policy") or _config(policy_reply),
        role=info.get("role") or _role(role_reply),
        used_memory_bytes=_integer(info.get("used_memory")),
        maxmemory_bytes=_integer(info.get("maxmemory")),
    )
    if _mode(info) == "sentinel":
        raise ServerUnsuitable(
            "this is a Sentinel, which holds no data; connect to the server that it watches"
        )
    _refuse_old(facts, command)
    _refuse_replica(facts, info, role_reply)
    warnings = [*_eviction(facts, allow_eviction), *_doubts(facts, info, command)]
    return replace(facts, warnings=tuple(warnings))


# -- refusals


def _refuse_old(facts: ServerFacts, command: Any) -> None:
    if isinstance(command, list) and (not command or command[0] is None):
        raise ServerUnsuitable(
            f"this server ({facts.kind} {facts.version or 'of unknown version'}) has no "
            "XAUTOCLAIM; hotmesh needs Redis 6.2 or later, or any Valkey"
        )


def _refuse_replica(facts: ServerFacts, info: dict[str, str], role: Any) -> None:
    if facts.role in ("slave", "replica"):
        host, port = info.get("master_host"), info.get("master_port")
        if isinstance(role, list) and len(role) > 2:
            host, port = role[1].decode(), role[2]
        raise ServerUnsuitable(
            "this server is a read-only replica; connect to its primary "
            f"({f'{host}:{port}' if host else 'unknown'}), or promote it with REPLICAOF NO ONE"
        )


def _eviction(facts: ServerFacts, is_allowed: bool) -> list[str]:
    policy, limit = facts.maxmemory_policy, facts.maxmemory_bytes
    if policy in (None, "noeviction"):
        return []
    when = f"now, at {limit:,} bytes" if limit else "as soon as there is a maxmemory"
    fault = (
        f"maxmemory-policy is {policy}: the server may delete jobs, streams and timers without a "
        f"trace ({when}); run CONFIG SET maxmemory-policy noeviction, and put it into the server's "
        "configuration"
    )
    if is_allowed:
        return [fault]
    raise ServerUnsuitable(f"{fault}; or pass allow_eviction=True to live with it")


def _doubts(facts: ServerFacts, info: dict[str, str], command: Any) -> list[str]:
    doubts = []
    if facts.aof is False:
        doubts.append(
            "appendonly is off: a crash of the server loses all that was done since its last "
            "snapshot; run CONFIG SET appendonly yes, and put it into the server's configuration"
        )
    if _mode(info) == "cluster":
        doubts.append(
            "this is a node of a Cluster, which comes in a later release: "
            "keys that live on other nodes are refused"
        )
    if facts.aof is None:
        doubts.append("appendonly could not be read (INFO is not permitted); see that it is yes")
    if facts.maxmemory_policy is None:
        doubts.append(
            "maxmemory-policy could not be read (neither INFO nor CONFIG GET is permitted); "
            "see that it is noeviction"
        )
    if isinstance(command, ReplyError):
        doubts.append(
            "the commands of the server could not be listed (COMMAND INFO is not permitted); "
            "see that it is Redis 6.2 or later, or a Valkey"
        )
    return doubts


# -- replies


def parse_info(reply: Any) -> dict[str, str]:
    """An INFO reply by field; nothing when the server does not permit the question."""
    if not isinstance(reply, bytes):
        return {}
    lines = reply.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _mode(info: dict[str, str]) -> str | None:
    return info.get("redis_mode") or info.get("server_mode")  # Redis or Valkey


def _config(reply: Any) -> str | None:
    return reply[1].decode() if isinstance(reply, list) and len(reply) == 2 else None


def _role(reply: Any) -> str | None:
    return reply[0].decode() if isinstance(reply, list) and reply else None


def _integer(text: str | None) -> int | None:
    return int(text) if text and text.isdigit() else None

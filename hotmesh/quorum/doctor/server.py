"""Checks of the server, from what it says about itself. Pure: INFO and CONFIG in, verdicts out."""

from __future__ import annotations

from collections.abc import Mapping

from hotmesh.quorum.doctor.verdict import Verdict, fail, note, ok, unknown, warn

CONFIGS = ("appendfsync", "maxclients", "min-replicas-to-write", "save")
MEMORY_WARN, MEMORY_FAIL = 0.8, 0.95
"""Of maxmemory. New work is refused at the top, and answers too."""

CLOCK_MS_MAX = 2_000
RTT_MS_MAX = 20
CLIENTS_WARN = 0.8
FRAGMENTED = 1.8
FRAGMENTED_BYTES_MIN = 200_000_000

Facts = Mapping[str, str]


def check_server(
    info: Facts, config: Facts, *, has_autoclaim: bool, rtt_ms: float, offset_ms: int
) -> list[Verdict]:
    """All checks of the server.

    Args:
        info: INFO by field; empty when it is not permitted.
        config: CONFIG GET by name; what is not permitted is absent.
        has_autoclaim: Whether it knows XAUTOCLAIM, so is 6.2 or later.
        rtt_ms: The time of one command.
        offset_ms: This host's clock minus the server's.
    """
    return [
        _version(info, has_autoclaim),
        _role(info),
        _mode(info),
        _loss(info, config),
        _disk(info),
        _eviction(info),
        _evicted(info),
        _memory(info),
        _fragmentation(info),
        _copies(info, config),
        _clients(info, config),
        _clock(offset_ms),
        _rtt(rtt_ms),
    ]


def _version(info: Facts, has_autoclaim: bool) -> Verdict:
    kind = "valkey" if "valkey_version" in info else "redis"
    version = info.get("valkey_version") or info.get("redis_version")
    if not has_autoclaim:
        said = f"{kind} {version or 'of unknown version'} has no XAUTOCLAIM"
        return fail("version", said, "use Redis 6.2 or later, or any Valkey")
    if version is None:
        return unknown("version", "the version")
    if kind == "redis" and version.startswith("6."):
        said = f"redis {version}: scripts that run out of memory may leave a step half written"
        return note("version", said, "upgrade to Redis 7 or Valkey when you can")
    return ok("version", f"{kind} {version}")


def _role(info: Facts) -> Verdict:
    role = info.get("role")
    if role is None:
        return unknown("role", "the role")
    if role != "master":
        fix = f"connect to its primary, {info.get('master_host')}:{info.get('master_port')}"
        return fail("role", "this server is a read-only replica", fix)
    return ok("role", "primary")


def _mode(info: Facts) -> Verdict:
    mode = info.get("redis_mode") or info.get("server_mode")
    if mode is None:
        return unknown("mode", "the mode")
    if mode == "sentinel":
        return fail("mode", "this is a Sentinel", "connect to the server that it watches")
    return ok("mode", mode)


def _loss(info: Facts, config: Facts) -> Verdict:
    """What a crash can lose."""
    aof, fsync = info.get("aof_enabled"), config.get("appendfsync")
    if aof is None:
        return unknown("persistence", "appendonly")
    if aof != "1":
        save = config.get("save", "")
        since = f"since the last snapshot (save {save})" if save else "ever"
        said = f"appendonly is off: a crash of the server loses what was done {since}"
        fix = "CONFIG SET appendonly yes, and put it into the server's configuration"
        return fail("persistence", said, fix)
    if fsync is None:
        return unknown("persistence", "appendfsync")
    if fsync == "no":
        said = "appendfsync is no: a crash of the machine can lose about 30 s of work"
        return warn("persistence", said, "CONFIG SET appendfsync everysec")
    if fsync == "always":
        said = "appendfsync is always: a crash loses nothing that was acknowledged, if the disk "
        return ok("persistence", said + "keeps what it has promised to keep")
    said = (
        "appendfsync is everysec: a crash of the process loses nothing, one of the machine up to "
        "about a second of work; appendfsync always loses none, and is slower"
    )
    return ok("persistence", said)


def _disk(info: Facts) -> Verdict:
    if not info:
        return unknown("disk", "the state of the last writes")
    faults = [
        name
        for name in ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
        if info.get(name, "ok") != "ok"
    ]
    if faults:
        said = f"the server could not write to its disk ({', '.join(faults)})"
        return fail("disk", said, "free space on its disk, and look into its log")
    return ok("disk", "the last writes succeeded")


def _eviction(info: Facts) -> Verdict:
    policy = info.get("maxmemory_policy")
    if policy is None:
        return unknown("eviction", "maxmemory-policy")
    if policy != "noeviction":
        said = f"maxmemory-policy is {policy}: the server may delete jobs, streams and timers"
        fix = "CONFIG SET maxmemory-policy noeviction, and put it into the server's configuration"
        return fail("eviction", said, fix)
    return ok("eviction", "noeviction")


def _evicted(info: Facts) -> Verdict:
    evicted = _int(info, "evicted_keys")
    if evicted is None:
        return unknown("evicted", "evicted_keys")
    if evicted:
        said = f"{evicted:,} keys were evicted since the server started: jobs may be gone"
        return fail("evicted", said, "set noeviction; look which jobs are missing, start them anew")
    return ok("evicted", "no key was evicted")


def _memory(info: Facts) -> Verdict:
    used, limit = _int(info, "used_memory"), _int(info, "maxmemory")
    if used is None or limit is None:
        return unknown("memory", "the memory")
    if not limit:
        said = f"{_mb(used)} used, and no maxmemory: the system kills the server when it runs out"
        return note("memory", said, "CONFIG SET maxmemory to 60 to 70 % of the machine's memory")
    share = used / limit
    said = f"{_mb(used)} of {_mb(limit)} used ({share:.0%})"
    if share >= MEMORY_WARN:
        fix = "raise maxmemory, shorten `expire` of finished jobs, or let workers catch up"
        return (fail if share >= MEMORY_FAIL else warn)("memory", said, fix)
    return ok("memory", said)


def _fragmentation(info: Facts) -> Verdict:
    used, ratio = _int(info, "used_memory"), info.get("mem_fragmentation_ratio")
    if used is None or ratio is None:
        return unknown("fragmentation", "the fragmentation")
    if float(ratio) > FRAGMENTED and used > FRAGMENTED_BYTES_MIN:
        said = f"the server holds {ratio} times the memory that it uses"
        return warn("fragmentation", said, "CONFIG SET activedefrag yes, or restart it")
    return ok("fragmentation", f"{ratio} times what is used")


def _copies(info: Facts, config: Facts) -> Verdict:
    replicas, wanted = _int(info, "connected_slaves"), config.get("min-replicas-to-write")
    if replicas is None:
        return unknown("copies", "the replicas")
    if not replicas:
        return note("copies", "no replica: what its disk loses is lost", "add one, or back up")
    if wanted in (None, "0"):
        said = f"{replicas} replicas: a failover can lose what they had not received"
        return note("copies", said, "CONFIG SET min-replicas-to-write 1 bounds it to about 10 s")
    return ok("copies", f"{replicas} replicas, and at least {wanted} must follow")


def _clients(info: Facts, config: Facts) -> Verdict:
    clients = _int(info, "connected_clients")
    limit = int(config["maxclients"]) if config.get("maxclients", "").isdigit() else None
    if clients is None or limit is None:
        return unknown("clients", "the clients or their limit")
    said = f"{clients:,} of {limit:,}"
    if clients > limit * CLIENTS_WARN:
        return warn("clients", said, "raise maxclients, or run fewer processes")
    if refused := _int(info, "rejected_connections"):
        return warn("clients", f"{said}; {refused:,} were refused before", "raise maxclients")
    return ok("clients", said)


def _clock(offset_ms: int) -> Verdict:
    if abs(offset_ms) > CLOCK_MS_MAX:
        said = f"this host's clock and the server's differ by {offset_ms:+,} ms"
        fix = "run NTP on both; timers and leases go by the server's clock, logs by the host's"
        return warn("clock", said, fix)
    return ok("clock", f"{offset_ms:+,} ms to this host's")


def _rtt(rtt_ms: float) -> Verdict:
    said = f"{rtt_ms:.1f} ms from here"
    if rtt_ms > RTT_MS_MAX:
        fix = "move engines and workers closer to it; see whether it swaps or runs slow scripts"
        return warn("round trip", said, fix)
    return ok("round trip", said)


def _int(info: Facts, name: str) -> int | None:
    text = info.get(name, "")
    return int(text) if text.isdigit() else None


def _mb(count: int) -> str:
    return f"{count / 1_000_000:,.0f} MB"

"""`hotmesh tail` and `produce`: entries of topics, read and written by hand."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

from hotmesh.cli.arguments import STDIN, read_json
from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError, to_json
from hotmesh.cli.stream_apps import streams
from hotmesh.streams import admin
from hotmesh.streams.client import Client
from hotmesh.streams.record import Codec, key_decoder
from hotmesh.streams.topic import Topic
from hotmesh.streams.topics import TopicSpec, find
from hotmesh.streams.wire import Entry

_read_value: Codec[Any] = Codec()
_read_key = key_decoder()


async def tail(
    topic: str,
    *,
    last: str = "$",
    limit: int = 0,
    key: str | None = None,
    dead: bool = False,
    cli: Cli,
) -> None:
    """Print entries of a topic as they come.

    Args:
        topic: The topic.
        last: $ from now on, 0 from the oldest, or an id to go on behind.
        limit: End after so many; 0 for never.
        key: Only entries of this key.
        dead: Dead letters of the topic's agents, with their reasons, instead of entries.
    """
    async with streams(cli) as client:
        spec = await find(client.store, topic) or TopicSpec()
        seen = 0
        async for partition, entry in admin.tail(client, topic, spec, last=last, dead=dead):
            facts = _facts(partition, entry)
            if dead and entry.foreign is not None:
                facts |= {n: entry.foreign.get(n) for n in ("reason", "group", "attempts")}
            if key is not None and facts["key"] != key:
                continue
            cli.output.result(facts, _line(facts))
            seen += 1
            if limit and seen >= limit:
                return


async def produce(
    topic: str,
    value: str,
    *,
    key: str | None = None,
    header: tuple[str, ...] = (),
    timestamp: str | None = None,
    type: str | None = None,
    partition: int | None = None,
    cli: Cli,
) -> None:
    """Send an entry to a topic.

    Args:
        topic: The topic; it is made when it is new.
        value: JSON, @file.json, or - for stdin: one JSON value a line.
        key: Decides the partition.
        header: NAME=VALUE, as often as needed.
        timestamp: When it happened, in ISO 8601.
        type: What the value is called, for readers that expect a type.
        partition: Instead of the key's.
    """
    headers = dict(_pair(h) for h in header)
    at = _time(timestamp)
    values = _lines() if value == STDIN else [read_json(value, "the value")]
    async with streams(cli) as client:
        for one in values:
            sent = await _topic(client, topic, type).send(
                one, key=key, headers=headers, timestamp=at, partition=partition
            )
            assert sent is not None
            cli.output.result(msgspec.to_builtins(sent), f"{sent.topic}/{sent.partition} {sent.id}")


def _topic(client: Client, name: str, type: str | None) -> Topic[Any]:
    topic: Topic[Any] = Topic(name, lambda: client)
    if type is not None:
        topic.codec = Named(type)
    return topic


class Named(Codec[Any]):
    """Plain data under the name of a type."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._named = f"j:{name}".encode()

    def encode(self, value: Any, *, what: str) -> tuple[bytes, bytes]:
        return super().encode(value, what=what)[0], self._named


def _lines() -> list[Any]:
    lines = [line for line in sys.stdin.read().splitlines() if line.strip()]
    return [read_json(line, f"line {number}") for number, line in enumerate(lines, 1)]


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark:
        raise UsageError(f"--header takes NAME=VALUE, not {text!r}")
    return name, value


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        example = "2026-01-31T12:00:00Z"
        raise UsageError(f"--timestamp: {text!r} is no time; write for example {example}") from exc
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _facts(partition: int, entry: Entry) -> dict[str, Any]:
    tag = (entry.tag or b"").decode(errors="replace")
    return {
        "partition": partition,
        "id": entry.id.decode(),
        "at": datetime.fromtimestamp(entry.event_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "key": _read_key(entry.key) if entry.key is not None else None,
        "type": tag[2:] or None,
        "headers": dict(entry.headers),
        "value": _value(entry),
    }


def _value(entry: Entry) -> Any:
    if entry.payload is None:
        return entry.foreign
    if entry.tag in (b"s:", b"b:"):
        return entry.payload.decode(errors="replace")
    try:
        return _read_value.decode(entry.payload, entry.tag)
    except ValueError:
        return entry.payload.decode(errors="replace")


def _line(facts: dict[str, Any]) -> str:
    key = "" if facts["key"] is None else f" {facts['key']}"
    kind = f" {facts['type']}" if facts["type"] else ""
    reason = f" {facts['group']}: {facts['reason']}" if "reason" in facts else ""
    return f"{facts['partition']} {facts['id']}{key}{kind} {to_json(facts['value'])}{reason}"

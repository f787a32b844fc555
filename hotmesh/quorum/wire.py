"""What members of a fleet say of themselves and to each other.

Stored and sent: fields are only added, with defaults; a tag's number grows when the meaning of a
field changes.
"""

from __future__ import annotations

import msgspec
from msgspec import Raw, Struct


class Part(Struct, frozen=True, kw_only=True):
    """One router of a member.

    Attributes:
        role: `engine`, `worker:<topic>`, or what another component calls itself.
        topic: What a throttle by topic means: the worker topic, the source of a router, "" for an
            engine.
        state: `running`, `throttled`, `paused`, `draining` or `drained`.
        throttle_ms: 0 for none, -1 while it is paused.
        capacity, in_flight: Entries that it may hold, and holds.
        taken, settled, claimed, failed, buried: Entries since it started: taken; out of its hands;
            taken over from another; handled again because the server was away; dead-lettered.
        codes: Answers by code, -1 for the codes beyond fifty. Empty for an engine.
        streams, group: Where it reads, when that does not follow from its role.
        depth, lag, pending, oldest_ms: Of its streams, over all partitions, filled in by a roll
            call: entries there, not yet delivered, delivered and not settled, and the age of the
            oldest; -1 when not known.
    """

    role: str
    topic: str = ""
    state: str = "running"
    throttle_ms: int = 0
    capacity: int = 0
    in_flight: int = 0
    taken: int = 0
    settled: int = 0
    claimed: int = 0
    failed: int = 0
    buried: int = 0
    codes: dict[int, int] = {}
    streams: tuple[str, ...] = ()
    group: str = ""
    depth: int = -1
    lag: int = -1
    pending: int = -1
    oldest_ms: int = -1


class Profile(Struct, frozen=True, kw_only=True):
    """What a member tells of itself.

    Attributes:
        roles: `engine`, `worker:<topic>` for each topic it serves, `quorum`, or others.
        release: Of the package that it runs.
        consumer: A consumer name of its process: tells on its host whether it is dead.
        seen_ms: When it was last heard of, on the server's clock.
        started_ms: When it joined, on the server's clock.
        state: `running`, `throttled`, `paused`, `draining` or `drained`; of a roll call also
            `silent` (it has missed beats and does not answer) and `dead` (its process is gone).
        throttle_ms: The strictest of its parts: 0 for none, -1 for paused.
        memory_bytes: What its process has in memory, 0 when that can't be known.
        cpu_s: Processor time that its process has used.
        loop_lag_ms: How late its event loop woke it last: what user code blocks.
        clock_offset_ms: Its host's clock minus the server's.
        parts: Its routers.
    """

    guid: str
    roles: tuple[str, ...]
    host: str
    pid: int
    release: str
    consumer: str
    seen_ms: int = 0
    started_ms: int = 0
    state: str = "running"
    throttle_ms: int = 0
    memory_bytes: int = 0
    cpu_s: float = 0.0
    loop_lag_ms: int = 0
    clock_offset_ms: int = 0
    parts: tuple[Part, ...] = ()

    @property
    def topics(self) -> tuple[str, ...]:
        """The worker topics that it serves."""
        return tuple(p.topic for p in self.parts if p.role == f"worker:{p.topic}")

    @property
    def in_flight(self) -> int:
        """Entries that it holds."""
        return sum(part.in_flight for part in self.parts)


class Question(Struct, array_like=True, frozen=True, tag="ask1"):
    """To all members, or to one.

    Attributes:
        what: `prepare` (can you run this version?), `beat` (tell how you are), `obey` (the
            throttles have changed), or `drain`.
        origin: The channel for the answers.
        target: The guid of the one that is meant; "" for all.
    """

    what: str
    request: str
    origin: str
    version: str = ""
    target: str = ""


class Answer(Struct, array_like=True, frozen=True, tag="say1"):
    """To the member that asked: a reason when the answer is no; the SHA-1 of the plan when it is
    yes.
    """

    request: str
    guid: str
    ok: bool
    reason: str = ""
    sha: str = ""


class Throttle(Struct, frozen=True):
    """How fast some members may take entries, stored until it is lifted.

    Attributes:
        ms: Each entry makes the next one wait so long; -1 for a pause.
        by: Who said so: host and process.
        why: The reason that was given, or "".
        at_ms: When, on the server's clock.
    """

    ms: int
    by: str = ""
    why: str = ""
    at_ms: int = 0


class Message(Struct, array_like=True, frozen=True, tag="tell1"):
    """A message of users to members, by pub/sub: it may be lost, and nobody keeps it.

    Attributes:
        kind: What it is about, in the sender's words.
        data: MessagePack.
        topic: Only for members that serve this topic; "" for all.
        guid: Only for this member; "" for all.
        sender: The guid of the mesh that sent it.
    """

    kind: str
    data: Raw
    topic: str = ""
    guid: str = ""
    sender: str = ""


encode = msgspec.msgpack.Encoder().encode
decode_question = msgspec.msgpack.Decoder(Question).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
decode_profile = msgspec.msgpack.Decoder(Profile).decode
decode_throttle = msgspec.msgpack.Decoder(Throttle).decode
decode_message = msgspec.msgpack.Decoder(Message).decode

"""One example of everything that is stored or sent, and the bytes that it has had since its first
day.

The bytes are in `bytes.json`. `python tests/golden/examples.py` adds those of new structs and
changes none. A change of existing bytes means that yesterday's process can't read what this one
writes: give the struct a new tag or the plan a new FORMAT, and keep the old bytes under their name.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import durable_examples
import msgspec
from msgspec import Raw, Struct

from hotmesh import messages
from hotmesh.compiler import (
    ActivityPlan,
    EdgePlan,
    GraphPlan,
    HookPlan,
    Plan,
    RulePlan,
    StatsPlan,
)
from hotmesh.core import state
from hotmesh.messages import (
    Adopt,
    Again,
    Begun,
    ChildStart,
    Continue,
    Discard,
    Failure,
    Interrupt,
    Listen,
    Redeliver,
    Reply,
    Retire,
    RetryRule,
    Send,
    SendAll,
    Signal,
    StreamData,
    StreamMetadata,
    StreamResult,
    Tick,
    Visit,
    Wake,
    Woken,
    Work,
)
from hotmesh.quorum import wire

BYTES = Path(__file__).with_name("bytes.json")

DATA = Raw(b"\x81\xa1n\x07")  # {"n": 7}
TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"

rule = RetryRule(5, 250, 1.5, 60_000, 0.1, (500, 503))
work = Work("j1", "a1", ",0,0", "2", "topic.x", 3, DATA, TRACE, (rule,), 5_000)
signal = Signal("pending", 202, DATA, "rid-1", TRACE)
woken = Woken("j1", "a1", ",0,0", "2", "hook.x", "key-1", 4)
metadata = StreamMetadata(
    guid="g1",
    jid="j1",
    aid="a1",
    dad=",0,0",
    topic="topic.x",
    version="2",
    try_count=3,
    trace=TRACE,
)
leg = state.Leg(
    state.OPEN,
    2,
    1_760_000_000_000,
    1_760_000_000_001,
    202,
    1,
    {"code": 500},
    ["r1"],
    3,
    "k",
    9,
    4,
    ["a0,0,1"],
    {"n": 1},
    TRACE,
)
meta = state.Meta(
    "app",
    "2",
    "run",
    "t",
    1_760_000_000_000,
    "key",
    "202510090853",
    TRACE,
    "caller-1",
    60_000,
    "j0",
    "a0",
    ",0,0",
    False,
    1_759_999_999_000,
    ("app0", "3"),
)
failure = Failure(
    418,
    "no",
    "a1",
    ",0,0",
    True,
    "j1",
    (Failure(500, "why", "b1", ",0,0", True, "j2", (Failure(410, "stop"),)),),
)
stats = StatsPlan(
    "{t.output.data.id}",
    "{t.output.data.k}",
    "{t.output.data.p}",
    "1h",
    (("count", "{t.output.data.x}"),),
)
activity = ActivityPlan(
    id="a1",
    type="worker",
    parent="t",
    topic="topic.x",
    input={"n": "{t.output.data.n}"},
    output={"n": 1},
    job={"all": {"n": "{$self.output.data.n}"}},
    edges=(EdgePlan("a2", {"code": [200, 201]}), EdgePlan("a3")),
    retry=(rule,),
    timeout="5s",
    sleep=30,
    hook=HookPlan("hook.x", "{$job.metadata.jid}", 600_000),
    stats=stats,
    emit=True,
    telemetry={"app.data.n": "{a1.output.data.n}"},
    each="{t.output.data.items}",
    concurrency=7,
    join=2,
    join_all=True,
    parents=("t", "a0"),
    ancestor="a0",
    keep=("n",),
    keep_hook=None,
    input_schema={"type": "object"},
    output_schema={"type": "object"},
    options={"await": False},
    persist=True,
    threshold=1,
)
part = wire.Part(
    role="worker:a",
    topic="a",
    state="paused",
    throttle_ms=-1,
    capacity=100,
    in_flight=7,
    taken=50,
    settled=43,
    claimed=2,
    failed=1,
    buried=3,
    codes={200: 40, 500: 3},
    streams=("orders",),
    group="billing",
    depth=9,
    lag=2,
    pending=7,
    oldest_ms=150,
)
plan = Plan(
    "app",
    "2",
    {"run": GraphPlan("run", "t", {"a1": activity}, "run.done", 15.0, "*/5 * * * *", True)},
    {"hook.x": RulePlan("run", "a1", "{$self.hook.data.id}", 600_000)},
    {"limit": 5, "colour": "red"},
    "0123456789abcdef01234567",
)

EXAMPLES: dict[str, Struct] = {
    "RetryRule": rule,
    "Work": work,
    "Reply": Reply("j1", "a1", ",0,0", "2", "error", 418, DATA, "rid-1", 3, TRACE, (failure,)),
    "ChildStart": ChildStart(
        "j2", "sub", "2", DATA, "j1", "a1", ",0,0", TRACE, False, 1_760_000_000_000, ("app0", "3")
    ),
    "Visit": Visit("j2", "2", ChildStart("j2", "sub", "2", DATA, "j1", "a1", ",0,0")),
    "Begun": Begun("j1", "a1", ",0,0", "2", "app", "j2"),
    "Redeliver": Redeliver(work),
    "Again": Again("hm:{hm~0}:e:orders", "1760000000000-1", 3, (b"p", b"{}", b"k", b"\xff"), "why"),
    "Wake": Wake("j1", "a1", ",0,0", "2", "timeout", 4),
    "Continue": Continue(
        "j1", "2", (("a1", ",0,0"), ("a2", ",0,1,0")), "rid-1", TRACE, ("00f0", "00f1")
    ),
    "Signal": signal,
    "Woken": msgspec.structs.replace(woken, signal=signal),
    "Listen": Listen("hook.x\0key-1", "2", woken, True, "rid-2"),
    "Send": Send("hook.x\0key-1", "2", "hook.x", "key-1", signal, 600_000),
    "SendAll": SendAll("j1", "2", "hook.x", signal, DATA, ("k:v",)),
    "Interrupt": Interrupt(
        "j1",
        "2",
        "why",
        False,
        411,
        2_000,
        True,
        ("j0", "a0", ",0", "2"),
        5_000,
        "rid-1",
        1_760_000_000_000,
        "j0",
        1,
    ),
    "Adopt": Adopt("j1", "j2", "2"),
    "Tick": Tick("run@20251009T085300Z", "2", "run", 1_760_000_000_000),
    "Retire": Retire("j1", "2", 1_760_000_000_000),
    "Discard": Discard("j1", 15_000, "2"),
    "StreamMetadata": metadata,
    "StreamData": StreamData(metadata=metadata, data={"n": 7}),
    "StreamResult": StreamResult(
        data={"n": 7}, status="pending", code=202, metadata=metadata, guid="g2"
    ),
    "Meta": meta,
    "Leg": leg,
    "Failure": failure,
    "Extras": state.Extras(("j2",), ("m,0,0",), 15_000, (b"\x91\x01",), (failure,), True),
    "Plan": plan,
    "Part": part,
    "Profile": wire.Profile(
        guid="g1",
        roles=("engine", "worker:a"),
        host="h",
        pid=17,
        release="0.1.0",
        consumer="h.17.4711.r",
        seen_ms=1_760_000_000_000,
        started_ms=1_750_000_000_000,
        state="throttled",
        throttle_ms=-1,
        memory_bytes=50_000_000,
        cpu_s=1.5,
        loop_lag_ms=3,
        clock_offset_ms=-12,
        parts=(part,),
    ),
    "Question": wire.Question("prepare", "r1", "hm:{app}:c:r1", "2", "g1"),
    "Answer": wire.Answer("r1", "g1", False, "why", "0123abcd"),
    "Throttle": wire.Throttle(-1, "h:17", "maintenance", 1_760_000_000_000),
    "Message": wire.Message("cache.flush", DATA, "topic.x", "g1", "g2"),
}

FLEET = {"Part", "Profile", "Question", "Answer", "Throttle", "Message"}
"""Of `hotmesh.quorum.wire`: by pub/sub and in the hashes of the fleet, never in a stream."""


def _stored() -> dict[str, type[Struct]]:
    return {k.__name__: k for k in (state.Meta, state.Leg, state.Extras)}


EXAMPLES |= durable_examples.EXAMPLES


def structs() -> dict[str, type[Struct]]:
    """Everything that must have an example: what messages.py defines, and what is stored."""
    found = {
        name: kind
        for name, kind in vars(messages).items()
        if inspect.isclass(kind)
        and issubclass(kind, Struct)
        and kind.__module__ == messages.__name__
    }
    fleet = {name: getattr(wire, name) for name in FLEET}
    return {**found, **_stored(), **fleet, "Plan": Plan, **durable_examples.structs()}


def encode(example: Any) -> bytes:
    """As the library writes it."""
    if isinstance(example, Plan):
        from hotmesh.compiler import encode_plan

        return encode_plan(example)
    return messages.encode_entry(example)


def golden() -> dict[str, bytes]:
    """The bytes of each name."""
    return {name: bytes.fromhex(text) for name, text in json.loads(BYTES.read_text()).items()}


def main() -> None:
    """Add the bytes of what has none yet."""
    known = json.loads(BYTES.read_text()) if BYTES.exists() else {}
    for name, example in EXAMPLES.items():
        known.setdefault(name, encode(example).hex())
    BYTES.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

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
    ChildStart,
    Continue,
    Discard,
    Interrupt,
    Listen,
    Redeliver,
    Reply,
    RetryRule,
    Send,
    SendAll,
    Signal,
    StreamData,
    StreamMetadata,
    StreamResult,
    Tick,
    Wake,
    Woken,
    Work,
)

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
    state.OPEN, 2, 1_760_000_000_000, 1_760_000_000_001, 202, 1, {"code": 500}, ["r1"], 3, "k", 9, 4
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
)
plan = Plan(
    "app",
    "2",
    {"run": GraphPlan("run", "t", {"a1": activity}, "run.done", 15.0, "*/5 * * * *")},
    {"hook.x": RulePlan("run", "a1", "{$self.hook.data.id}", 600_000)},
    {"limit": 5, "colour": "red"},
    "0123456789abcdef01234567",
)

EXAMPLES: dict[str, Struct] = {
    "RetryRule": rule,
    "Work": work,
    "Reply": Reply("j1", "a1", ",0,0", "2", "error", 418, DATA, "rid-1", 3, TRACE),
    "ChildStart": ChildStart(
        "j2", "sub", "2", DATA, "j1", "a1", ",0,0", TRACE, False, 1_760_000_000_000
    ),
    "Redeliver": Redeliver(work),
    "Again": Again("hm:{hm~0}:e:orders", "1760000000000-1", 3, (b"p", b"{}", b"k", b"\xff"), "why"),
    "Wake": Wake("j1", "a1", ",0,0", "2", "timeout", 4),
    "Continue": Continue("j1", "2", (("a1", ",0,0"), ("a2", ",0,1,0")), "rid-1"),
    "Signal": signal,
    "Woken": msgspec.structs.replace(woken, signal=signal),
    "Listen": Listen("hook.x\0key-1", "2", woken, True, "rid-2"),
    "Send": Send("hook.x\0key-1", "2", "hook.x", "key-1", signal, 600_000),
    "SendAll": SendAll("j1", "2", "hook.x", signal, DATA, ("k:v",)),
    "Interrupt": Interrupt("j1", "2", "why", False, 411, 2_000, True, ("j0", "a0", ",0", "2")),
    "Adopt": Adopt("j1", "j2", "2"),
    "Tick": Tick("run@20251009T085300Z", "2", "run", 1_760_000_000_000),
    "Discard": Discard("j1", 15_000, "2"),
    "StreamMetadata": metadata,
    "StreamData": StreamData(metadata=metadata, data={"n": 7}),
    "StreamResult": StreamResult(
        data={"n": 7}, status="pending", code=202, metadata=metadata, guid="g2"
    ),
    "Meta": meta,
    "Leg": leg,
    "Plan": plan,
}


def structs() -> dict[str, type[Struct]]:
    """Everything that must have an example: what messages.py defines, and what is stored."""
    found = {
        name: kind
        for name, kind in vars(messages).items()
        if inspect.isclass(kind)
        and issubclass(kind, Struct)
        and kind.__module__ == messages.__name__
    }
    return {**found, "Meta": state.Meta, "Leg": state.Leg, "Plan": Plan}


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

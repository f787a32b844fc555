"""The jobs of the chaos suite: one app with a graph per shape, what each job must give, and which
calls of workers it must have made.

Everything follows from the seed. What a worker computes depends on its topic, so that a call which
went to the wrong one, was left out or was applied on top of another shows in the job's value.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

MODULUS = 1_000_003
TOPICS = ("work.a", "work.b", "work.c")
EXPIRE_S = 12
ATTEMPTS_MAX = 6
TURNS = 3

NAP_S_MAX, LONG_NAPS_SHARE, LONG_NAP_S = 0.15, 0.02, 2.6
"""A few calls take longer than the lease: it must be extended."""

WAITS_SHARE, REPEATS_SHARE = 0.7, 0.3


def value_of(topic: str, x: int) -> int:
    """What a worker makes of `x`."""
    factor, plus = {"work.a": (7, 3), "work.b": (5, 11), "work.c": (3, 17)}[topic]
    return (x * factor + plus) % MODULUS


@dataclass(frozen=True)
class Job:
    """One job: when it is started and with what, and what must come of it.

    Attributes:
        calls: For each worker activity, how many different calls (dimension and attempt) it makes.
        waits: Whether the client waits with `pubsub`, or starts with `pub` and reads.
        repeats: Whether the client makes each of its calls twice, as after a lost reply.
        signal_after_s: When the client sends the signal, from the start; negative: before it.
    """

    at_s: float
    id: str
    shape: str
    payload: dict[str, Any]
    data: dict[str, Any]
    calls: dict[str, int]
    waits: bool
    repeats: bool
    signal_after_s: float | None = None

    @property
    def topic(self) -> str:
        return f"chaos.{self.shape}"


def work(prefix: str, topic: str, x: Any, /, op: str = "calc", **more: Any) -> dict[str, Any]:
    """A worker activity that carries the id of the job at the root of its tree."""
    trigger = f"{{{prefix}_t.output.data."
    maps = {"root": trigger + "root}", "nap": trigger + "nap}", "op": op, "x": x}
    maps |= more.pop("send", {})
    return {"type": "worker", "topic": topic, "input": {"maps": maps}, **more}


def _into(**maps: Any) -> dict[str, Any]:
    return {"maps": maps}


V = "{$self.output.data.v}"


@dataclass
class Graph:
    """A graph being written: activities get the shape's name in front of theirs."""

    name: str
    activities: dict[str, Any] = field(default_factory=dict)
    transitions: dict[str, list[Any]] = field(default_factory=dict)
    hooks: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.activities[f"{self.name}_t"] = {"type": "trigger"}

    def add(self, name: str, activity: dict[str, Any], *parents: str, **conditions: Any) -> None:
        self.activities[f"{self.name}_{name}"] = activity
        edge: dict[str, Any] = {"to": f"{self.name}_{name}"}
        if conditions:
            edge["conditions"] = conditions
        for parent in parents:
            self.transitions.setdefault(f"{self.name}_{parent}", []).append(dict(edge))

    def work(self, topic: str, x: Any = "x", /, op: str = "calc", **more: Any) -> dict[str, Any]:
        return work(self.name, topic, self.of("t", x) if x == "x" else x, op, **more)

    def of(self, activity: str, name: str) -> str:
        return f"{{{self.name}_{activity}.output.data.{name}}}"

    def plain(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "subscribes": f"chaos.{self.name}",
            "publishes": f"done.{self.name}",
            "expire": EXPIRE_S,
            "activities": self.activities,
        }
        if self.transitions:
            found["transitions"] = self.transitions
        if self.hooks:
            found["hooks"] = self.hooks
        return found


def model(app_id: str) -> dict[str, Any]:
    """The app of all shapes."""
    graphs = [build().plain() for build in _GRAPHS]
    return {"app": {"id": app_id, "version": "1", "graphs": graphs}}


# -- graphs


def _one() -> Graph:
    g = Graph("one")
    g.add("w", g.work("work.a", job=_into(v=V)), "t")
    return g


def _chain() -> Graph:
    g = Graph("chain")
    g.add("w1", g.work("work.a", job=_into(v1=V)), "t")
    for i in range(2, 6):
        x = g.of(f"w{i - 1}", "v")
        g.add(f"w{i}", g.work("work.a", x, job=_into(**{f"v{i}": V})), f"w{i - 1}")
    return g


def _fan() -> Graph:
    g = Graph("fan")
    for i in range(6):
        g.add(f"w{i}", g.work("work.a", send={"plus": i}, job=_into(**{f"v{i}": V})), "t")
    return g


def _fan2() -> Graph:
    g = Graph("fan2")
    for i in range(6):
        topic = TOPICS[i % 2]
        g.add(f"w{i}", g.work(topic, send={"plus": i}, job=_into(**{f"v{i}": V})), "t")
    return g


def _nest() -> Graph:
    return _awaiting("nest", "mid")


def _mid() -> Graph:
    return _awaiting("mid", "leaf")


def _awaiting(name: str, child: str) -> Graph:
    g = Graph(name)
    maps = {key: g.of("t", key) for key in ("root", "nap", "x")}
    activity = {"type": "await", "topic": f"chaos.{child}", "input": {"maps": maps}}
    g.add("c", activity | {"job": _into(v=V)}, "t")
    return g


def _leaf() -> Graph:
    g = Graph("leaf")
    g.add("w", g.work("work.b", job=_into(v=V)), "t")
    return g


def _retry() -> Graph:
    g = Graph("retry")
    policy = {
        "maximum_attempts": ATTEMPTS_MAX,
        "initial_interval": "50ms",
        "backoff_coefficient": 1.5,
    }
    sent = {"fails": g.of("t", "fails")}
    g.add("w", g.work("work.c", op="flaky", send=sent, retry=policy, job=_into(v=V)), "t")
    return g


def _pend() -> Graph:
    g = Graph("pend")
    g.add("w", g.work("work.c", op="pend", job=_into(p="{$self.output.data.p}")), "t")
    g.add("n", g.work("work.a", g.of("w", "p")), "w", code=202)
    g.add("f", g.work("work.b", g.of("w", "p"), job=_into(v=V)), "w", code=200)
    return g


def _sleep() -> Graph:
    g = Graph("sleep")
    g.add("h", {"type": "hook", "sleep": g.of("t", "sleep")}, "t")
    g.add("w", g.work("work.a", job=_into(v=V)), "h")
    return g


def _pass() -> Graph:
    g = Graph("pass")
    g.add("h1", {"type": "hook", "output": _into(x=g.of("t", "x")), "job": _into(first=1)}, "t")
    for i in (2, 3, 4):
        x = g.of(f"h{i - 1}", "x")
        g.add(f"h{i}", {"type": "hook", "output": _into(x=x)}, f"h{i - 1}")
    g.add("w", g.work("work.b", g.of("h4", "x")), "h4")
    g.add("h5", {"type": "hook", "job": _into(v=g.of("w", "v"))}, "w")
    return g


def _caught() -> Graph:
    g = Graph("caught")
    g.add("w", g.work("work.a", op="fail", job=_into(never=1)), "t")
    g.add("c", g.work("work.b", job=_into(v=V)), "w", code=422)
    return g


def _signal() -> Graph:
    g = Graph("signal")
    g.add("h", {"type": "hook", "job": _into(said="{$self.hook.data.x}")}, "t")
    g.add("w", g.work("work.a", "{signal_h.hook.data.x}", job=_into(v=V)), "h")
    match = {"expected": "{$job.metadata.jid}", "actual": "{$self.hook.data.id}"}
    g.hooks["chaos.wake"] = [{"to": "signal_h", "conditions": {"match": [match]}}]
    return g


def _cycle() -> Graph:
    g = Graph("cycle")
    g.add("p", {"type": "hook", "output": _into(n=0, x=g.of("t", "x"))}, "t")
    sent = {"n": g.of("p", "n")}
    g.add("w", g.work("work.b", g.of("p", "x"), op="turn", send=sent), "p")
    back = {"type": "cycle", "ancestor": "cycle_p"}
    back["input"] = _into(n=g.of("w", "n"), x=g.of("w", "v"))  # type: ignore[assignment]
    done = g.of("w", "done")
    g.add("again", back, "w", match=[{"expected": False, "actual": done}])
    stop = {"type": "hook", "job": _into(v=g.of("w", "v"), n=g.of("w", "n"))}
    g.add("stop", stop, "w", match=[{"expected": True, "actual": done}])
    return g


def _join() -> Graph:
    g = Graph("join")
    for i in range(3):
        g.add(f"w{i}", g.work(TOPICS[i], send={"plus": i}), "t")
    sent = {"plus": g.of("w1", "v"), "more": g.of("w2", "v")}
    joined = g.work("work.a", g.of("w0", "v"), send=sent, job=_into(v=V))
    g.add("j", joined | {"join": "all"}, "w0", "w1", "w2")
    return g


def _each() -> Graph:
    g = Graph("each")
    each = g.work("work.a", "{$self.input.data.item}", job=_into(vs="{$self.output.data}"))
    g.add("w", each | {"each": g.of("t", "items"), "concurrency": 2}, "t")
    return g


_GRAPHS: tuple[Callable[[], Graph], ...] = (
    *(_one, _chain, _fan, _fan2, _nest, _mid, _leaf, _retry, _pend, _sleep, _pass, _caught),
    *(_signal, _cycle, _join, _each),
)

# -- what must come of them: (job data, calls)

_Outcome = tuple[dict[str, Any], dict[str, int]]


def _outcome(shape: str, payload: dict[str, Any]) -> _Outcome:
    x: int = payload["x"]
    a, b = (lambda y: value_of("work.a", y)), (lambda y: value_of("work.b", y))
    match shape:
        case "one" | "sleep":
            return {"v": a(x)}, {f"{shape}_w": 1}
        case "chain":
            data = {}
            for i in range(1, 6):
                data[f"v{i}"] = x = a(x)
            return data, {f"chain_w{i}": 1 for i in range(1, 6)}
        case "fan":
            return {f"v{i}": a(x + i) for i in range(6)}, {f"fan_w{i}": 1 for i in range(6)}
        case "fan2":
            data = {f"v{i}": value_of(TOPICS[i % 2], x + i) for i in range(6)}
            return data, {f"fan2_w{i}": 1 for i in range(6)}
        case "nest":
            return {"v": b(x)}, {"leaf_w": 1}
        case "retry":
            return {"v": value_of("work.c", x)}, {"retry_w": payload["fails"] + 1}
        case "pend":
            return {"p": 3, "v": b(3)}, {"pend_w": 1, "pend_n": 2, "pend_f": 1}
        case "pass":
            return {"first": 1, "v": b(x)}, {"pass_w": 1}
        case "caught":
            return {"v": b(x)}, {"caught_w": 1, "caught_c": 1}
        case "signal":
            return {"said": x + 1, "v": a(x + 1)}, {"signal_w": 1}
        case "cycle":
            for _ in range(TURNS):
                x = b(x)
            return {"v": x, "n": TURNS}, {"cycle_w": TURNS}
        case "join":
            v0, v1, v2 = (value_of(TOPICS[i], x + i) for i in range(3))
            calls = {f"join_w{i}": 1 for i in range(3)}
            return {"v": a(v0 + v1 + v2)}, calls | {"join_j": 1}
        case "each":
            return {"vs": [{"v": a(item)} for item in payload["items"]]}, {"each_w": 5}
    raise ValueError(shape)


SHAPES = (
    *("one", "chain", "fan", "fan2", "nest", "retry", "pend", "sleep", "pass", "caught"),
    *("signal", "cycle", "join", "each"),
)


def make_jobs(
    seed: int, count: int, seconds: float, *, name: str, shapes: Sequence[str] = SHAPES
) -> list[Job]:
    """The jobs of one phase, spread over its time."""
    rng = random.Random(f"{seed}/{name}")
    return [_job(rng, f"{name}-{seed}-{i}", i * seconds / count, shapes) for i in range(count)]


def _job(rng: random.Random, name: str, at_s: float, shapes: Sequence[str]) -> Job:
    shape = rng.choice(shapes)
    jid = f"{shape}-{name}"
    nap = LONG_NAP_S if rng.random() < LONG_NAPS_SHARE else round(rng.uniform(0, NAP_S_MAX), 3)
    payload: dict[str, Any] = {"root": jid, "nap": nap, "x": rng.randrange(MODULUS)}
    if shape == "chain":
        payload["nap"] = min(nap, 0.5)
    signal_after_s = None
    if shape == "retry":
        payload["fails"] = rng.choice((0, 1, 1, 2, 3))
    elif shape == "sleep":
        payload["sleep"] = f"{rng.randrange(50, 501)}ms"
    elif shape == "each":
        payload["items"] = [rng.randrange(MODULUS) for _ in range(5)]
    elif shape == "signal":
        signal_after_s = round(rng.uniform(-0.3, 0.5), 3)
    data, calls = _outcome(shape, payload)
    waits, repeats = rng.random() < WAITS_SHARE, rng.random() < REPEATS_SHARE
    return Job(at_s, jid, shape, payload, data, calls, waits, repeats, signal_after_s)

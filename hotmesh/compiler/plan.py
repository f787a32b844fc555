"""The Plan: a compiled model as data. It is what Redis stores, under its version, and what `link`
turns into closures.

A plan holds rules as they were written (maps, conditions, pipes), not code: another process, or a
later release, links it again. `FORMAT` moves when a field changes its meaning; new fields get
defaults.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.errors import FormatUnknown
from hotmesh.messages import RetryRule

FORMAT = 1

EXPIRE_DEFAULT_S = 15  # what the original keeps a finished job for


class EdgePlan(Struct, frozen=True, omit_defaults=True):
    """A transition.

    `conditions` is the rule as written, or None for one that is always followed.
    """

    to: str
    conditions: Any = None


class HookPlan(Struct, frozen=True, omit_defaults=True):
    """What a waiting hook registers: its topic and the rule of its key (`expected`)."""

    topic: str
    expected: Any = None
    pending_ms: int = 0


class StatsPlan(Struct, frozen=True, omit_defaults=True):
    """A trigger's `stats`: rules of the job's id, key and parent, and what is measured."""

    id: Any = None
    key: Any = None
    parent: Any = None
    granularity: str = "5m"
    measures: tuple[tuple[str, Any], ...] = ()


class ActivityPlan(Struct, frozen=True, omit_defaults=True):
    """One activity. Fields that hold rules are `Any`: a literal, a reference or a pipe.

    Attributes:
        parent: The activity whose transition leads here, "" for the trigger; for a join the last
            one that all its parents have before them.
        parents: All activities whose transitions lead here.
        join: How many parents an activity with several waits for, 0 for one that does not join;
            `join_all` when it is content with those that can come.
        each: A list: one call per item, `concurrency` at a time.
        keep: The first segments of `output.data` that some rule reads, () for none, None for all.
        keep_hook: The same of `hook.data`.
        persist: Whether the job has given its result once this one has ended.
        threshold: Enter only while more than so many activities are open.
        options: Rules of one type alone (a signal's payload, an interrupt's target …) by their
            name in the model.
    """

    id: str
    type: str
    parent: str = ""
    topic: Any = None
    input: Any = None
    output: Any = None
    job: Any = None
    edges: tuple[EdgePlan, ...] = ()
    retry: tuple[RetryRule, ...] = ()
    timeout: Any = None
    sleep: Any = None
    hook: HookPlan | None = None
    stats: StatsPlan | None = None
    emit: Any = None
    telemetry: Any = None
    each: Any = None
    concurrency: int = 100
    join: int = 0
    join_all: bool = False
    parents: tuple[str, ...] = ()
    ancestor: str = ""
    keep: tuple[str, ...] | None = ()
    keep_hook: tuple[str, ...] | None = ()
    input_schema: Any = None
    output_schema: Any = None
    options: dict[str, Any] = {}
    persist: Any = None
    threshold: Any = None


class GraphPlan(Struct, frozen=True, omit_defaults=True):
    """One graph: its trigger's id, its activities, how long a finished job is kept, and whether
    one that has given its result is kept until its last branch has ended.
    """

    subscribes: str
    trigger: str
    activities: dict[str, ActivityPlan]
    publishes: str = ""
    expire: Any = None
    cron: str = ""
    persistent: Any = None


class RulePlan(Struct, frozen=True, omit_defaults=True):
    """A hook topic: which activity of which graph it wakes, and the rule of the key in the
    signal (`actual`).
    """

    graph: str
    to: str
    actual: Any = None
    pending_ms: int = 0


class Plan(Struct, frozen=True, omit_defaults=True):
    """A compiled version of an app.

    Attributes:
        digest: Of the model that it was compiled from. Two releases may compile one model to
            different plans.
    """

    app_id: str
    version: str
    graphs: dict[str, GraphPlan]
    hooks: dict[str, RulePlan] = {}
    settings: dict[str, Any] = {}
    digest: str = ""
    format: int = 1

    @property
    def goes_abroad(self) -> bool:
        """Whether some activity starts jobs in another app."""
        return any(
            activity.options.get("app") is not None
            for graph in self.graphs.values()
            for activity in graph.activities.values()
        )

    @property
    def worker_topics(self) -> tuple[str, ...]:
        """The topics of workers that the model names literally, sorted."""
        topics = {
            a.topic
            for graph in self.graphs.values()
            for a in graph.activities.values()
            if a.type == "worker" and isinstance(a.topic, str) and not a.topic.startswith("{")
        }
        return tuple(sorted(topics))


class _Header(Struct):
    format: int = 1


_encoder = msgspec.msgpack.Encoder()  # the order of keys is the model's: people see it in results
_decoder = msgspec.msgpack.Decoder(Plan)
_header = msgspec.msgpack.Decoder(_Header)


def encode(plan: Plan) -> bytes:
    """The plan as stored."""
    return _encoder.encode(plan)


def decode(data: bytes) -> Plan:
    """A stored plan.

    Raises:
        FormatUnknown: It was written by a newer release.
    """
    found = _header.decode(data).format
    if found > FORMAT:
        raise FormatUnknown(
            f"the plan has format {found}, this process reads up to {FORMAT}; upgrade "
            "hotmesh here first"
        )
    return _decoder.decode(data)

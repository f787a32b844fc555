"""One struct per activity type: what a model may say about it.

The attributes' first sentences are what editors and error messages show. A struct only says which
properties there are and of which kind; what their values must be is checked in `check.py` and its
neighbours.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import Struct

Value: TypeAlias = Any
"""A literal, a reference `{…}` or a pipe `{"@pipe": rows}`; a field says which kinds it takes."""

Schema: TypeAlias = Any
"""A JSON Schema: a mapping or a boolean."""


class Io(Struct, frozen=True, forbid_unknown_fields=True):
    """A schema and maps: `input`, `output`, `job`, `signal` and `resolver`.

    Attributes:
        schema: JSON Schema of the data. Documentation, unless `validate` is on.
        maps: What is written: a mapping of names to literals, references, pipes or further
            mappings.
    """

    schema: Schema = None
    maps: dict[str, Value] | None = None


class Measure(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing that a trigger counts.

    Attributes:
        measure: How it is measured.
        target: A reference to the field of the payload that is measured.
    """

    measure: Literal["count", "sum", "avg", "index", "mdn", "min", "max"]
    target: Value


class Stats(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a trigger names its jobs, and what it counts.

    Attributes:
        id: The job's id. Absent: a new random id.
        key: The key under which jobs are counted and indexed.
        parent: The id of the job whose end ends this one.
        granularity: The length of a time slot, such as `5m`, `1h` or `1d`, or `infinity` for one
            slot.
        measures: What is counted per key and slot.
    """

    id: Value = None
    key: Value = None
    parent: Value = None
    granularity: str = "5m"
    measures: tuple[Measure, ...] = ()


class Common(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """What every activity may say.

    Attributes:
        title: A label for people.
        telemetry: Names and values that become attributes of this activity's span.
        join: With several parents, how many must arrive: `all`, `any` or a number.
        validate: Whether data is checked against this activity's schemas. Absent: as the graph
            says.
    """

    title: str | None = None
    telemetry: dict[str, Value] | None = None
    join: Literal["all", "any"] | int | None = None
    validate: bool | None = None


class Flowing(Common, frozen=True, kw_only=True, rename={"status_threshold": "statusThreshold"}):
    """What every activity may say that is followed by others: all but `cycle`.

    Attributes:
        job: What this activity writes into the shared data of the job.
        emit: When true, the job's state so far is published as this activity passes on.
        persist: When true, the job counts as complete here although other branches go on.
        statusThreshold: Enter only while more than this many activities are open.
    """

    job: Io | None = None
    emit: Value = None
    persist: Value = None
    status_threshold: Value = None


class Trigger(Flowing, frozen=True, kw_only=True, tag="trigger"):
    """Starts a job. A graph has exactly one.

    Attributes:
        input: Schema of the payload.
        output: Schema of the payload; the graph's `input.schema` stands in for it.
        stats: The job's id and key, and what is counted.
    """

    input: Io | None = None
    output: Io | None = None
    stats: Stats | None = None


class Worker(Flowing, frozen=True, kw_only=True, tag="worker"):
    """Calls a function that is linked to a topic, and waits for its answer.

    Attributes:
        topic: The worker topic. `subtype` is an old name of it.
        input: What is sent.
        output: Schema of the answer.
        retry: After which errors, how often and after which delays the call is repeated.
        timeout: Seconds or a duration after which the call is given up with code 504.
        cycle: Whether a cycle may come back here; set by itself when one does.
        each: A list: one call per item, with the results as a list.
        concurrency: How many calls of `each` run at a time.
    """

    topic: Value
    input: Io | None = None
    output: Io | None = None
    retry: Value = None
    timeout: Value = None
    cycle: bool = False
    each: Value = None
    concurrency: Value = None


class Await(
    Flowing,
    frozen=True,
    kw_only=True,
    tag="await",
    rename={"await_": "await", "status_threshold": "statusThreshold"},
):
    """Starts another graph, and waits for its result.

    Attributes:
        topic: The topic that the other graph subscribes to. `subtype` is an old name of it.
        app: The app that has the other graph. Absent: this one.
        input: The payload of the other graph.
        output: Schema of its result.
        await: When false, do not wait: go on as soon as the other job exists.
        timeout: Seconds or a duration after which waiting is given up with code 504.
        cycle: Whether a cycle may come back here; set by itself when one does.
        each: A list: one child per item, with the results as a list.
        concurrency: How many children of `each` run at a time.
    """

    topic: Value
    app: Value = None
    input: Io | None = None
    output: Io | None = None
    await_: Value = True
    timeout: Value = None
    cycle: bool = False
    each: Value = None
    concurrency: Value = None


class Hook(Flowing, frozen=True, kw_only=True, tag="hook"):
    """Waits for a signal (with a rule in `hooks`), for a time (`sleep`), or passes straight
    through. `activity` is an old name.

    Attributes:
        hook: Schema of the signal's payload.
        sleep: Seconds, or a duration, to wait. With a rule in `hooks` too, whichever comes first.
        output: What this activity gives as its own output.
        timeout: Seconds or a duration after which waiting for the signal is given up with code 504.
        pending: How long a signal that comes before this activity waits is kept for it.
        cycle: Whether a cycle may come back here; set by itself when one does.
    """

    hook: Schema = None
    sleep: Value = None
    output: Io | None = None
    timeout: Value = None
    pending: Value = None
    cycle: bool = False


class Cycle(Common, frozen=True, kw_only=True, tag="cycle"):
    """Goes back to an ancestor.

    Attributes:
        ancestor: The activity to go back to: a hook, worker or await on the way here.
        input: What becomes the ancestor's output this time.
    """

    ancestor: str
    input: Io | None = None


class Signal(Flowing, frozen=True, kw_only=True, tag="signal"):
    """Wakes other jobs that wait for a signal.

    Attributes:
        subtype: `one`: the job that the hook's rule finds. `all`: every job of an index.
        topic: The hook topic.
        signal: What is sent (`maps`).
        status: For `one`: `success`, `pending` (the hook stays open) or `error`.
        code: For `one`: the code that the hook's transitions see.
        resolver: For `all`: the query (`maps`) whose `data` gives the index's key.
        key_name: For `all`: the indexed field.
        key_value: For `all`: the value of that field.
        scrub: For `all`: whether the index is deleted afterwards.
        output: What this activity gives as its own output.
    """

    subtype: Literal["one", "all"]
    topic: Value
    signal: Io | None = None
    status: Value = "success"
    code: Value = 200
    resolver: Io | None = None
    key_name: Value = None
    key_value: Value = None
    scrub: Value = False
    output: Io | None = None


class Interrupt(Flowing, frozen=True, kw_only=True, tag="interrupt"):
    """Ends a job before its time: its own, or another.

    Attributes:
        target: The id of the job to end. Absent: this one.
        topic: The topic of the target's graph. Absent: this graph's.
        reason: The message of the error that the job ends with.
        throw: When false, the job ends without an error.
        descend: When true, jobs that named the target as their parent end too.
        code: The code of the error.
        expire: Seconds, or a duration, that the ended job is kept.
        after: Seconds, or a duration, that the job may still run. Absent: no longer.
        output: What this activity gives as its own output.
    """

    target: Value = None
    topic: Value = None
    reason: Value = None
    throw: Value = True
    descend: Value = False
    code: Value = 410
    expire: Value = None
    after: Value = None
    output: Io | None = None


Activity: TypeAlias = Trigger | Worker | Await | Hook | Cycle | Signal | Interrupt

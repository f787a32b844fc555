"""The model as data: apps, graphs, transitions and hook rules, as one YAML file says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from hotmesh.durations import parse as parse_duration
from hotmesh.messages import RetryRule
from hotmesh.model.activities import Activity, Io, Value

CODE_DEFAULT = 200  # what a condition without `code` asks for


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """One comparison, strict about types.

    Attributes:
        expected: The value that is wanted. In a transition a plain literal; in a hook rule also a
            reference or pipe.
        actual: The value that is compared with it.
    """

    expected: Value
    actual: Value


class Conditions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a transition is followed.

    Attributes:
        code: The code, or a list of codes, that the activity must have ended with; a `*` in
            one is any digit, as in `5**`. Absent: 200.
        gate: Whether all matches must hold (`and`) or one is enough (`or`).
        match: What is compared.
    """

    code: int | str | tuple[int | str, ...] | None = None
    gate: Literal["and", "or"] = "and"
    match: tuple[Match, ...] | None = None

    @property
    def takes_success(self) -> bool:
        """Whether an activity that ended with code 200 satisfies `code`."""
        if self.code is None:
            return True
        codes = self.code if isinstance(self.code, tuple) else (self.code,)
        return any(all(a in ("*", b) for a, b in zip(str(c), "200", strict=True)) for c in codes)


class Transition(Struct, frozen=True, forbid_unknown_fields=True):
    """A way from one activity to the next.

    Attributes:
        to: The activity that follows.
        conditions: When it does. Absent: always, also after an error.
    """

    to: str
    conditions: Conditions | None = None


class HookRule(Struct, frozen=True, forbid_unknown_fields=True):
    """Which waiting activity a signal wakes.

    Attributes:
        to: A hook activity of this graph.
        conditions: One `match`: `expected` is resolved when the activity begins to wait, `actual`
            on the signal's payload.
    """

    to: str
    conditions: Conditions

    @property
    def match(self) -> Match:
        """The one comparison that counts. The checker sees to it that there is one."""
        assert self.conditions.match
        return self.conditions.match[0]


class Graph(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A flow: one trigger, further activities, and the transitions between them.

    Attributes:
        subscribes: The topic that starts it.
        publishes: The topic on which results are published. Absent: nowhere.
        title: A label for people.
        cron: When a job of this graph starts by itself, in UTC: five fields, or six with seconds
            first.
        expire: Seconds, or a duration, that a finished job is kept; -1 and 0 keep it for ever.
        persistent: Whether the job outlives the end of its main thread.
        validate: Whether data is checked against this graph's schemas. Absent: as the app says.
        input: Schema of the payload.
        output: Schema of the job's data.
        activities: The activities by id. An id is unique in the whole app.
        transitions: For an activity's id, what follows it.
        hooks: For a signal's topic, which activity it wakes.
    """

    subscribes: str
    activities: dict[str, Activity]
    publishes: str | None = None
    title: str | None = None
    cron: str | None = None
    expire: Value = None
    persistent: Value = None
    validate: bool | None = None
    input: Io | None = None
    output: Io | None = None
    transitions: dict[str, tuple[Transition, ...]] = {}
    hooks: dict[str, tuple[HookRule, ...]] = {}


class App(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An app: graphs that are deployed together under one version.

    Attributes:
        id: Letters, digits and dashes.
        version: A label; versions need no order.
        graphs: The flows.
        title: A label for people.
        settings: Free values that maps read as `{$app.settings.…}`.
        validate: Whether data is checked against the schemas of the model.
    """

    id: str
    version: str
    graphs: tuple[Graph, ...]
    title: str | None = None
    settings: dict[str, Any] = {}
    validate: bool = False


class RetryPolicy(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`retry` as a policy; the other form is a table of codes.

    Attributes:
        maximum_attempts: Attempts in all, the first included.
        initial_interval: Seconds, or a duration, before the first repetition.
        backoff_coefficient: What each delay is multiplied by to give the next.
        maximum_interval: The longest delay.
        codes: Only these codes are repeated. Absent: every error.
    """

    maximum_attempts: int = 3
    initial_interval: Value = 1
    backoff_coefficient: float = 2.0
    maximum_interval: Value = 100
    codes: tuple[int, ...] = ()


# A table `{'503': [3]}` in the original: at most three repetitions, after 10, 100 and 1,000 ms.
TABLE_RETRIES_MAX = 3
_TABLE_INITIAL_MS, _TABLE_FACTOR, _TABLE_DELAY_MS_MAX = 10, 10.0, 1_000


def is_retry_table(retry: Any) -> bool:
    """Whether a `retry` is the original's table of codes (and no policy)."""
    return (
        isinstance(retry, Mapping)
        and bool(retry)
        and all(str(key)[:1].isdecimal() for key in retry)
    )


def retry_rules(retry: Any) -> tuple[RetryRule, ...]:
    """The rules of a checked `retry`, in either form; none when there is none."""
    if not retry:
        return ()
    if is_retry_table(retry):
        return tuple(
            RetryRule(
                attempts_max=1 + times[0],
                initial_ms=_TABLE_INITIAL_MS,
                factor=_TABLE_FACTOR,
                delay_ms_max=_TABLE_DELAY_MS_MAX,
                jitter=0.0,
                codes=(int(code),),
            )
            for code, times in retry.items()
        )
    policy = RetryPolicy(**retry)
    return (
        RetryRule(
            attempts_max=policy.maximum_attempts,
            initial_ms=parse_duration(policy.initial_interval),
            factor=float(policy.backoff_coefficient),
            delay_ms_max=parse_duration(policy.maximum_interval),
            codes=tuple(policy.codes),
        ),
    )


def validates(app: App, graph: Graph, activity: Activity | None = None) -> bool:
    """Whether data is checked: the innermost `validate` that says anything decides."""
    for level in (activity, graph):
        if level is not None and level.validate is not None:
            return level.validate
    return app.validate

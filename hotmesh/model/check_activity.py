"""Each activity by itself: what its type needs, and what its values must be."""

from __future__ import annotations

from typing import Any, assert_never

from hotmesh.errors import NameInvalid
from hotmesh.ids import check_app_id
from hotmesh.model.activities import (
    Activity,
    Await,
    Cycle,
    Flowing,
    Hook,
    Interrupt,
    Io,
    Signal,
    Stats,
    Trigger,
    Worker,
)
from hotmesh.model.check_graph import topic_problem
from hotmesh.model.check_refs import Reader, check_maps, check_rule, is_rule
from hotmesh.model.check_stats import check_stats, measured
from hotmesh.model.check_values import (
    check_code,
    check_duration,
    check_expire,
    check_flag,
    check_retry,
    check_schema,
    check_text,
    check_waiting,
)
from hotmesh.model.marks import Path
from hotmesh.model.scope import GraphScope, Scope
from hotmesh.model.types import validates

_STATUSES = ("success", "pending", "error")
_QUERY = ("data", "range", "start", "end", "scrub", "sparse")
_IO = ("input", "output", "job", "signal", "resolver")

ITEMS_MAX = 10_000
"""Items that `each` takes, so also the most that can run at a time."""

# Maps that the original accepts and never applies, by type and section.
_IGNORED_MAPS = {
    (Trigger, "input"): "a trigger's input is the payload; map into `job`",
    (Trigger, "output"): "a trigger's output is the payload; map into `job`",
    (Worker, "output"): "its output is what the worker answers; map into `job`",
    (Await, "output"): "its output is what the awaited graph gives; map into `job`",
}


def check_activities(scope: Scope) -> None:
    """Every activity of every graph."""
    for view in scope.graphs:
        for name, activity in view.graph.activities.items():
            _One(scope, view, name, activity).check()


class _One:
    """One activity on its way through the checks."""

    def __init__(self, scope: Scope, view: GraphScope, name: str, activity: Activity) -> None:
        self.scope, self.view, self.activity = scope, view, activity
        self.findings = scope.findings
        self.path = view.path("activities", name)
        self.name, self.reader = name, Reader(view, name)
        self.checked = validates(scope.app, view.graph, activity)

    def check(self) -> None:
        """What all have, then what its type has."""
        self._sections()
        self._common()
        match self.activity:
            case Trigger():
                if self.activity.stats is not None:
                    check_stats(self.scope, self.view, self.name, self.activity.stats)
            case Worker():
                self._worker(self.activity)
            case Await():
                self._await(self.activity)
            case Hook():
                self._hook(self.activity)
            case Cycle():
                self._cycle(self.activity)
            case Signal():
                self._signal(self.activity)
            case Interrupt():
                self._interrupt(self.activity)
            case _:
                assert_never(self.activity)

    # -- what all have

    def _sections(self) -> None:
        """The maps and schemas of `input`, `output`, `job`, `signal` and `resolver`."""
        for section in _IO:
            io = getattr(self.activity, section, None)
            if not isinstance(io, Io):
                continue
            path: Path = (*self.path, section)
            if io.schema is not None:
                check_schema(self.findings, io.schema, (*path, "schema"), used=self.checked)
            if io.maps is None:
                continue
            check_maps(self.scope, self.reader, io.maps, (*path, "maps"))
            ignored = _IGNORED_MAPS.get((type(self.activity), section))
            if ignored:
                self.findings.warn((*path, "maps"), f"is never applied: {ignored}", key=True)

    def _common(self) -> None:
        activity = self.activity
        if isinstance(activity, Flowing):
            check_flag(self.scope, self.reader, activity.emit, (*self.path, "emit"))
            check_flag(self.scope, self.reader, activity.persist, (*self.path, "persist"))
            self._threshold(activity)
        self._join()
        for key, value in (activity.telemetry or {}).items():
            if isinstance(value, (dict, list)) and not is_rule(value):
                self.findings.error(
                    (*self.path, "telemetry", key),
                    "must be one value: a literal, a reference or a pipe",
                )
            else:
                check_rule(self.scope, self.reader, value, (*self.path, "telemetry", key))

    def _threshold(self, activity: Flowing) -> None:
        value, path = activity.status_threshold, (*self.path, "statusThreshold")
        if is_rule(value):
            check_rule(self.scope, self.reader, value, path)
        elif value is not None and (type(value) not in (int, float) or value < 0):
            self.findings.error(path, "must be a number from 0, a reference or a pipe")
        if value is not None and isinstance(activity, Trigger):
            self.findings.warn(path, "has no effect: a trigger is always entered", key=True)

    def _join(self) -> None:
        join, path = self.activity.join, (*self.path, "join")
        parents = len(self.view.parents.get(self.name, ()))
        if isinstance(join, int) and join < 1:
            self.findings.error(path, "must be at least 1: the number of parents to wait for")
        elif isinstance(join, int) and 1 < parents < join:
            self.findings.error(path, f"waits for {join} parents, and there are {parents}")
        elif join is not None and parents < 2:
            message = "has no effect: this activity has one parent at most"
            self.findings.warn(path, message, key=True)

    def _each(self, activity: Worker | Await) -> None:
        each, path = activity.each, (*self.path, "each")
        if each is not None and not isinstance(each, list) and not is_rule(each):
            self.findings.error(path, "must be a list, a reference or a pipe that gives one")
        elif is_rule(each):
            check_rule(self.scope, self.reader, each, path)
        count, path = activity.concurrency, (*self.path, "concurrency")
        if count is None:
            return
        if type(count) is not int or not 1 <= count <= ITEMS_MAX:
            message = f"must be a whole number from 1 to {ITEMS_MAX:,}"
            self.findings.error(path, message)
        elif each is None:
            self.findings.warn(path, "has no effect without `each`", key=True)

    def _topic(self, topic: Any, *, literal_only: bool = False) -> str | None:
        """Check a topic; the topic itself if it is a literal that can be one."""
        path: Path = (*self.path, "topic")
        if is_rule(topic):
            if literal_only:
                self.findings.error(path, "must be a plain topic here, not a reference or pipe")
            check_rule(self.scope, self.reader, topic, path)
            return None
        if not isinstance(topic, str):
            check_text(self.scope, self.reader, "" if topic is None else topic, path)
            if topic is None:
                self.findings.error(path, "is empty; write the topic")
            return None
        return None if topic_problem(self.scope, topic, path) else topic

    def _started(self, topic: str) -> None:
        if topic not in self.scope.subscribed:
            near = self.findings.near(topic, self.scope.subscribed)
            self.findings.warn(
                (*self.path, "topic"), f"no graph of this app subscribes to {topic!r}{near}"
            )

    # -- one method per type

    def _worker(self, worker: Worker) -> None:
        self._topic(worker.topic)
        self._each(worker)
        check_retry(self.findings, worker.retry, (*self.path, "retry"))
        check_duration(self.findings, worker.timeout, (*self.path, "timeout"))

    def _await(self, activity: Await) -> None:
        topic = self._topic(activity.topic)
        if topic is not None and activity.app in (None, self.scope.app.id):
            self._started(topic)
        self._app(activity.app)
        self._each(activity)
        check_flag(self.scope, self.reader, activity.await_, (*self.path, "await"))
        check_duration(self.findings, activity.timeout, (*self.path, "timeout"))

    def _app(self, app: Any) -> None:
        check_text(self.scope, self.reader, app, (*self.path, "app"))
        if isinstance(app, str) and not is_rule(app):
            try:
                check_app_id(app)
            except NameInvalid as exc:
                self.findings.error((*self.path, "app"), str(exc))

    def _hook(self, hook: Hook) -> None:
        has_rule = self.name in self.view.rules
        if isinstance(hook.hook, dict) and isinstance(hook.hook.get("topic"), str):
            topic = hook.hook["topic"]
            if topic not in self.view.rules.get(self.name, ()):
                self.findings.error(
                    (*self.path, "hook", "topic"),
                    f"the graph's `hooks` has no rule for {topic!r:.150} that leads here",
                )
        else:
            check_schema(self.findings, hook.hook, (*self.path, "hook"), used=self.checked)
        check_waiting(self.scope, self.reader, hook.sleep, (*self.path, "sleep"))
        if hook.sleep == 0 and not isinstance(hook.sleep, bool):
            self.findings.warn(
                (*self.path, "sleep"), "sleeps not at all; remove the line, or give seconds"
            )
        for key in ("timeout", "pending"):
            value = getattr(hook, key)
            check_duration(self.findings, value, (*self.path, key))
            if value is not None and not has_rule:
                self.findings.warn(
                    (*self.path, key), "has no effect: this hook has no rule in `hooks`", key=True
                )

    def _cycle(self, cycle: Cycle) -> None:
        path: Path = (*self.path, "ancestor")
        target = self.view.graph.activities.get(cycle.ancestor)
        if target is None:
            others = [name for name in self.view.graph.activities if name != self.name]
            near = self.findings.near(cycle.ancestor, others)
            self.findings.error(
                path, f"there is no activity {cycle.ancestor!r:.150} in this graph{near}"
            )
        elif not isinstance(target, (Hook, Worker, Await)):
            kind = type(target).__name__.lower()
            self.findings.error(
                path,
                f"a cycle goes back to a hook, worker or await, not to a {kind}; put a hook "
                "behind it as a pivot",
            )
        elif self.name in self.view.entered and not self.view.comes_before(
            cycle.ancestor, self.name
        ):
            self.findings.error(
                path,
                f"{cycle.ancestor!r} does not come before {self.name!r}; a cycle goes back to an "
                "ancestor",
            )

    def _interrupt(self, interrupt: Interrupt) -> None:
        for key in ("target", "reason"):
            check_text(self.scope, self.reader, getattr(interrupt, key), (*self.path, key))
        for key in ("throw", "descend"):
            check_flag(self.scope, self.reader, getattr(interrupt, key), (*self.path, key))
        self._code(interrupt.code)
        check_expire(self.scope, self.reader, interrupt.expire, (*self.path, "expire"))
        check_waiting(self.scope, self.reader, interrupt.after, (*self.path, "after"))
        topic = self._topic(interrupt.topic) if interrupt.topic is not None else None
        if topic is not None:
            self._started(topic)
        if (
            interrupt.target is None
            and interrupt.after is None
            and interrupt.output is not None
            and interrupt.output.maps is not None
        ):
            self.findings.warn(
                (*self.path, "output", "maps"),
                "is never applied: nothing follows a job that interrupts itself",
                key=True,
            )

    def _code(self, code: Any) -> None:
        if is_rule(code):
            check_rule(self.scope, self.reader, code, (*self.path, "code"))
        else:
            check_code(self.findings, code, (*self.path, "code"))

    # -- signals

    def _signal(self, signal: Signal) -> None:
        to_all = signal.subtype == "all"
        topic = self._topic(signal.topic, literal_only=to_all)
        if topic is not None and topic not in self.scope.hooked:
            near = self.findings.near(topic, self.scope.hooked)
            self.findings.warn(
                (*self.path, "topic"), f"no graph has a rule for {topic!r} in `hooks`{near}"
            )
        if to_all:
            self._signal_all(signal, topic)
        else:
            self._signal_one(signal)

    def _signal_one(self, signal: Signal) -> None:
        path: Path = (*self.path, "status")
        if is_rule(signal.status):
            check_rule(self.scope, self.reader, signal.status, path)
        elif signal.status not in _STATUSES:
            self.findings.error(
                path,
                f"must be {', '.join(_STATUSES)}, a reference or a pipe, not {signal.status!r:.60}",
            )
        self._code(signal.code)
        fits = {
            "success": signal.code != 202,
            "pending": signal.code == 202,
            "error": signal.code != 200,
        }
        if not is_rule(signal.code) and not fits.get(
            signal.status if isinstance(signal.status, str) else "", True
        ):
            self.findings.warn(
                path,
                "status and code do not go together: 202 is `pending`, 200 is `success`, others "
                "are `error`",
            )
        for key in ("resolver", "key_name", "key_value"):
            if getattr(signal, key) is not None:
                self.findings.warn(
                    (*self.path, key), "has no effect: only `subtype: all` uses an index", key=True
                )

    def _signal_all(self, signal: Signal, topic: str | None) -> None:
        check_text(self.scope, self.reader, signal.key_name, (*self.path, "key_name"))
        check_rule(self.scope, self.reader, signal.key_value, (*self.path, "key_value"))
        check_flag(self.scope, self.reader, signal.scrub, (*self.path, "scrub"))
        for key in ("key_name", "key_value"):
            if getattr(signal, key) is None:
                self.findings.error(
                    self.path,
                    f"`{key}` is missing: `subtype: all` wakes the jobs of an index",
                    key=True,
                )
        query = signal.resolver.maps if signal.resolver is not None else None
        if not query or "data" not in query:
            self.findings.error(
                self.path,
                "`resolver` is missing: its maps hold `data`, from which the index's key is made",
                key=True,
            )
        for key in query or {}:
            if key not in _QUERY:
                near = self.findings.near(key, _QUERY)
                self.findings.error(
                    (*self.path, "resolver", "maps", key),
                    f"a query has no {key!r:.60}{near}",
                    key=True,
                )
        if topic in self.scope.hooked:
            self._index(signal, self.scope.hooked[topic][0])

    def _index(self, signal: Signal, target: GraphScope) -> None:
        """The index that a signal to all needs: the trigger of the waiting graph keeps it."""
        if (
            target.trigger is None
            or not isinstance(signal.key_name, str)
            or is_rule(signal.key_name)
        ):
            return
        trigger = target.graph.activities[target.trigger]
        assert isinstance(trigger, Trigger)  # that is what the scope looked for
        stats = trigger.stats or Stats()
        indexed = [measured(m) for m in stats.measures if m.measure == "index"]
        if stats.key is None or signal.key_name not in indexed:
            near = self.findings.near(signal.key_name, indexed)
            message = (
                f"the trigger {target.trigger!r} keeps no index of {signal.key_name!r:.100}{near}"
            )
            advice = (
                "; it needs `stats.key` and a measure {measure: index, target: …}"
                if not near
                else ""
            )
            self.findings.error((*self.path, "key_name"), message + advice)

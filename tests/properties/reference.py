"""A reading of the model language as a person would do it by hand: one object per activation, no
revisions, no streams, no stored fields. It computes nothing with the engine's own code but the
rules (`hotmesh.mapping`), which have vectors of their own.

Nothing here chooses an order. A `World` knows which steps are possible: an activity may be entered,
an answer may be taken, a timer may fire. Whoever drives it names one, and `Impossible` is raised
for a step that the model does not allow now. So it gives not one outcome but all allowed ones: a
run is right if each of its steps was possible, each had the effect that it has here, and none is
left at its end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from hotmesh.mapping import (
    UNDEFINED,
    Env,
    compile_condition,
    compile_maps,
    compile_value,
    plain,
    text_of,
)

Script = Callable[[str, Any, int], "list[Answer]"]
"""What a function answers: its activity, its input, and the attempt (from 0)."""

WORDED = {424: "unmet", 504: "late"}
"""Errors whose text is the engine's own business, and what stands for it here."""

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


class Impossible(AssertionError):
    """A step that the model does not allow at this point."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a function, a child or a signal says to who waits."""

    status: str
    code: int
    data: Any
    index: int = -1  # of an item of `each`


@dataclass(eq=False, slots=True)
class Activation:
    """One time that an activity gave something, and what it can see: the activations that led to
    it.
    """

    aid: str
    dad: str
    visible: Mapping[str, Activation]
    output: Any = UNDEFINED
    hook: Any = UNDEFINED


@dataclass(eq=False, slots=True)
class Leg:
    """An activity that was reached along one way; `again` by cycles."""

    aid: str
    above: str
    visible: Mapping[str, Activation]
    generation: int = 0
    turn: int = 0  # how often a cycle made it wait again
    waiting: bool = False
    mail: list[Answer] = field(default_factory=list)
    began_ms: int = 0
    sleep_ms: int = 0
    key: str | None = None
    output: Any = UNDEFINED
    items: int = -1
    descends: Stop | None = None  # for children that begin later: they may hear it, or not
    children: list[Job] = field(default_factory=list)
    starts: dict[int, tuple[str, Any]] = field(default_factory=dict)  # children not yet there

    @property
    def dad(self) -> str:
        return f"{self.above},{self.generation}"


@dataclass(eq=False, slots=True)
class Join:
    """An activity that waits for several: who came."""

    aid: str
    fork: Activation
    came: dict[str, Activation] = field(default_factory=dict)
    waiting: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """An activity that is to be entered: for the first time, `again`, or as a join `unmet`."""

    leg: Leg
    how: str = "enter"
    data: Any = None


@dataclass(frozen=True, slots=True)
class Stop:
    """An order to end a job."""

    code: int
    reason: str
    throw: bool
    descend: bool


@dataclass(eq=False)
class Job:
    """One run of a graph."""

    jid: str
    topic: str
    parent: tuple[Job, Leg, int] | None = None
    data: dict[str, Any] = field(default_factory=dict)
    error: Any = None
    queue: list[Entry] = field(default_factory=list)
    legs: list[Leg] = field(default_factory=list)
    joins: list[Join] = field(default_factory=list)
    history: list[Activation] = field(default_factory=list)
    codes: list[tuple[str, str, int]] = field(default_factory=list)
    published: list[tuple[int, Any] | None] = field(default_factory=list)
    ended: bool = False
    interrupted: bool = False

    def open(self) -> int:
        """What goes on: activities to enter, activities that wait, joins that wait."""
        waiting = [leg for leg in self.legs if leg.waiting]
        return len(self.queue) + len(waiting) + len(self.waiting_joins())

    def waiting_joins(self) -> list[Join]:
        return [j for j in self.joins if j.waiting]


class World:
    """All jobs of an app, and the signals that nobody has taken yet."""

    def __init__(self, model: Mapping[str, Any], script: Script, now_ms: int = 0) -> None:
        self.graphs = {g["subscribes"]: Graph(g) for g in model["app"]["graphs"]}
        self.rules = {t: r[0] for g in self.graphs.values() for t, r in g.hooks.items()}
        self.script, self.now_ms = script, now_ms
        self.jobs: dict[str, Job] = {}
        self.signals: dict[tuple[str, str], list[Answer]] = {}
        self.stops: dict[str, list[Stop]] = {}  # by job, which may not have begun yet
        self.calls: set[tuple[str, str, str, int]] = set()
        self.given_up: set[tuple[str, str, str, int]] = set()

    # -- what may happen

    def start(self, jid: str, topic: str, data: Any, parent: Any = None) -> Job:
        """A job begins: its trigger gives the payload."""
        _must(jid not in self.jobs, f"job {jid} begins twice")
        job = self.jobs[jid] = Job(jid, topic, parent)
        graph = self.graphs[topic]
        trigger = Leg(graph.trigger, "", {})
        me = Activation(trigger.aid, ",0", {}, output=data)
        job.legs.append(trigger)
        self._map(job, me)  # only here the maps come first
        self._pass_on(job, trigger, me, 200, maps=False)
        self._after(job)
        return job

    def begin_child(self, jid: str, parent: Job, aid: str, dad: str) -> Job:
        """A child that an activity has ordered begins."""
        for leg in parent.legs:
            for index, (topic, data) in list(leg.starts.items()):
                if leg.aid == aid and _item(leg, index) == dad:
                    del leg.starts[index]
                    child = Job(jid, topic)
                    wants = (parent, leg, index) if index > -2 else None
                    child = self.start(jid, topic, data, wants)
                    leg.children.append(child)
                    if leg.descends is not None:
                        self.order_stop(jid, leg.descends)
                    return child
        raise Impossible(f"{parent.jid} has ordered no child at {aid}{dad}")

    def enter(self, job: Job, aid: str, dad: str) -> Leg:
        """An activity is entered that something leads to."""
        self._must_run(job)
        entry = next((e for e in job.queue if (e.leg.aid, e.leg.dad) == (aid, dad)), None)
        if entry is None:
            raise Impossible(f"{job.jid}: nothing leads to {aid}{dad}")
        job.queue.remove(entry)
        leg = entry.leg
        if leg not in job.legs:
            job.legs.append(leg)
        node, type_ = self._node(job, aid), self._node(job, aid)["type"]
        if entry.how == "unmet":
            self._fail(job, leg, {"message": WORDED[424]}, 424)
        elif entry.how == "again" and not (type_ == "hook" and self._waits(job, aid)):
            me = Activation(aid, leg.dad, leg.visible, output=entry.data)
            self._pass_on(job, leg, me, 200)  # if it still waits, it goes on to
        else:
            leg.turn += entry.how == "again"
            getattr(self, f"_enter_{type_}")(job, leg, node)
        self._after(job)
        return leg

    def answer(self, job: Job, aid: str, dad: str, answer: Answer) -> None:
        """An activity takes an answer that was given to it: each counts once."""
        leg = self._waiting(job, aid, dad)
        if leg.items >= 0:
            self._take_items(job, leg, answer)
        else:
            _must(answer in leg.mail, f"{job.jid} {aid}{dad}: nobody gave {answer}")
            leg.mail.remove(answer)
            self._take(job, leg, answer, hook=False)
        self._after(job)

    def wake(self, job: Job, aid: str, dad: str, answer: Answer, turn: int) -> None:
        """A hook takes a signal that was sent and that nobody has taken."""
        leg = self._waiting(job, aid, dad)
        _must(turn == leg.turn, f"{job.jid}: a signal for an earlier wait of {aid}")
        topic = next(t for t, rule in self.rules.items() if rule["to"] == aid)
        sent = self.signals.get((topic, leg.key or ""), [])
        _must(answer in sent, f"{job.jid} {aid}{dad}: no such signal: {answer}, {self.signals}")
        sent.remove(answer)
        self._take(job, leg, answer, hook=True)
        self._after(job)

    def timer(self, job: Job, aid: str, dad: str, what: str, turn: int) -> None:
        """A hook has slept, or an activity has waited for too long; `turn` counts its waits."""
        leg = self._waiting(job, aid, dad)
        _must(turn == leg.turn, f"{job.jid}: a timer of an earlier wait of {aid}")
        timeout = self._node(job, aid).get("timeout")
        due_ms = leg.sleep_ms if what == "sleep" else _ms(timeout) if timeout else 0
        _must(due_ms > 0, f"{job.jid}: {aid} has no {what}")
        _must(self.now_ms >= leg.began_ms + due_ms, f"{job.jid}: the {what} of {aid} is early")
        if what == "sleep":
            self._take(job, leg, Answer("success", 200, {"timestamp": self.now_ms}), hook=True)
        else:
            leg.waiting = False
            self._give_up(job, leg)
            self._fail(job, leg, {"message": WORDED[504]}, 504)
        self._after(job)

    def send(self, topic: str, data: Any, status: str = "success", code: int = 200) -> None:
        """A signal is sent; it stays until a hook takes it."""
        rule = self.rules[topic]["conditions"]["match"][0]["actual"]
        key = text_of(_value(rule)({"$self": {"hook": {"data": data}}}, self._env()))
        self.signals.setdefault((topic, key), []).append(Answer(status, code, data))

    def order_stop(self, jid: str, stop: Stop) -> None:
        """Somebody says that a job is to end."""
        self.stops.setdefault(jid, []).append(stop)

    def interrupt(self, job: Job, stop: Stop) -> None:
        """A job ends before its time because somebody said so."""
        self._must_run(job)
        ordered = self.stops.get(job.jid, [])
        _must(stop in ordered, f"{job.jid}: nobody ordered {stop}, only {ordered}")
        if stop.throw:
            message = stop.reason or f"job [{job.jid}] interrupted"
            job.error = {"code": stop.code, "message": message, "job_id": job.jid}
        for leg in job.legs if stop.descend else ():
            if leg.waiting:
                leg.descends = stop
                for child in leg.children:
                    self.order_stop(child.jid, stop)
        job.interrupted = True
        self._end(job)

    # -- what is left

    def left(self) -> Iterator[str]:
        """What should still have happened."""
        for job in self.jobs.values():
            if not job.ended:
                doing = [f"enter {e.leg.aid}{e.leg.dad}" for e in job.queue]
                doing += [f"answer {g.aid}{g.dad}" for g in job.legs if g.waiting]
                yield f"{job.jid} has not ended: {doing}"
            if not job.interrupted:
                legs = [leg for leg in job.legs if leg.starts and leg.items < 0]
                yield from (f"{job.jid}: no child of {leg.aid}{leg.dad}" for leg in legs)

    def deaf(self) -> Iterator[str]:
        """Hooks that wait although their signal is there."""
        for job in self.jobs.values():
            for leg in job.legs if not job.ended else ():
                for (topic, key), sent in self.signals.items():
                    rule = self.rules[topic]
                    if leg.waiting and sent and rule["to"] == leg.aid and key == leg.key:
                        yield f"{job.jid} {leg.aid}{leg.dad} waits, and {sent} is there"

    # -- the types

    def _enter_hook(self, job: Job, leg: Leg, node: Any) -> None:
        me = Activation(leg.aid, leg.dad, leg.visible)
        context = self._context(job, me)
        rule = next((r for r in self.rules.values() if r["to"] == leg.aid), None)
        leg.sleep_ms = _ms(self._eval(node["sleep"], context)) if "sleep" in node else 0
        leg.key = None
        if rule is not None:
            expected = rule["conditions"]["match"][0]["expected"]
            leg.key = text_of(self._eval(expected, context))
        if rule is None and not leg.sleep_ms:
            self._pass_on(job, leg, me, 200, output=node.get("output"))
            return
        if "output" in node:
            leg.output = self._maps(node["output"], context)
        self._wait(leg)

    def _enter_worker(self, job: Job, leg: Leg, node: Any) -> None:
        context = self._context(job, Activation(leg.aid, leg.dad, leg.visible))
        if "each" not in node:
            leg.mail = self._call(job, leg, node, self._input(node, context))
            self._wait(leg)
            return
        for index, given in self._each(job, leg, node, context):
            leg.mail += [self._call(job, leg, node, given, index)[-1]]

    def _enter_await(self, job: Job, leg: Leg, node: Any) -> None:
        context = self._context(job, Activation(leg.aid, leg.dad, leg.visible))
        if "each" in node:
            for index, given in self._each(job, leg, node, context):
                leg.starts[index] = (node["topic"], given)
            return
        given = self._input(node, context)
        if node.get("await", True):
            leg.starts[-1] = (node["topic"], given)
            self._wait(leg)
        else:
            leg.starts[-2] = (node["topic"], given)
            me = Activation(leg.aid, leg.dad, leg.visible, output={})
            self._pass_on(job, leg, me, 200)

    def _enter_signal(self, job: Job, leg: Leg, node: Any) -> None:
        me = Activation(leg.aid, leg.dad, leg.visible)
        data = self._maps(node["signal"], self._context(job, me))
        self.send(node["topic"], data, node.get("status", "success"), node.get("code", 200))
        self._pass_on(job, leg, me, 200, output=node.get("output"))

    def _enter_cycle(self, job: Job, leg: Leg, node: Any) -> None:
        context = self._context(job, Activation(leg.aid, leg.dad, leg.visible))
        there = leg.visible[node["ancestor"]]
        above = there.dad.rpartition(",")[0]
        back = next(g for g in job.legs if (g.aid, g.above) == (there.aid, above))
        data = self._maps(node["input"], context) if "input" in node else {}
        job.codes.append((leg.aid, leg.dad, 200))
        waits = self._waits(job, back.aid) and (
            back.waiting or any(e.leg is back for e in job.queue)
        )
        if not waits:  # two ways that meet in one wait go on as one
            job.queue.append(Entry(back, "again", data))

    def _enter_interrupt(self, job: Job, leg: Leg, node: Any) -> None:
        me = Activation(leg.aid, leg.dad, leg.visible)
        context = self._context(job, me)
        target = self._eval(node["target"], context) if "target" in node else job.jid
        throw, descend = node.get("throw", True), node.get("descend", False)
        stop = Stop(node.get("code", 410), node.get("reason", ""), throw, descend)
        if target != job.jid:
            self.order_stop(target, stop)
            leg.mail = [Answer("success", 200, {"interrupted": said}) for said in (True, False)]
            self._wait(leg)
            return
        self._map(job, me)
        job.codes.append((leg.aid, leg.dad, 200))
        self.order_stop(job.jid, stop)
        self.interrupt(job, stop)

    def _each(self, job: Job, leg: Leg, node: Any, context: Any) -> list[tuple[int, Any]]:
        """The inputs of all items; an empty list is an answer at once."""
        items = self._eval(node["each"], context)
        if not items:
            me = Activation(leg.aid, leg.dad, leg.visible, output=[])
            self._pass_on(job, leg, me, 200)
            return []
        leg.items = len(items)
        self._wait(leg)
        found = []
        for index, item in enumerate(items):
            context["$self"]["input"] = {"data": {"item": item, "index": index}}
            found.append((index, self._input(node, context) if "input" in node else item))
        return found

    def _give_up(self, job: Job, leg: Leg) -> None:
        """What it asked for is needed no more; calls may be made all the same."""
        calls = {c for c in self.calls if c[:2] == (job.jid, leg.aid)}
        self.given_up |= {c for c in calls if c[2].rpartition(",")[0] == leg.above}

    def _call(self, job: Job, leg: Leg, node: Any, given: Any, index: int = -1) -> list[Answer]:
        """A function is called, again as often as the model says; what comes back in the end."""
        attempts = 0
        while True:
            self.calls.add((job.jid, leg.aid, _item(leg, index), attempts))
            said = self.script(leg.aid, given, attempts)
            more = node.get("retry", {}).get(str(said[0].code), [0])[0]
            if said[0].status != "error" or attempts >= more:
                return [Answer(a.status, a.code, a.data, index) for a in said]
            attempts += 1

    # -- an answer

    def _take(self, job: Job, leg: Leg, answer: Answer, *, hook: bool) -> None:
        leg.waiting = answer.status == "pending"
        if answer.status == "error":
            self._fail(job, leg, answer.data, answer.code)
            return
        me = Activation(leg.aid, leg.dad, leg.visible)
        me.output, me.hook = (leg.output, answer.data) if hook else (answer.data, UNDEFINED)
        self._pass_on(job, leg, me, answer.code)

    def _take_items(self, job: Job, leg: Leg, answer: Answer) -> None:
        """All items have a result, or one has failed."""
        _must(answer in leg.mail, f"{job.jid} {leg.aid}{leg.dad}: nobody gave {answer}")
        items = {a.index: a for a in leg.mail if a.status != "pending"}
        if answer.status == "error":
            error = {**_error(answer.data, answer.code), "index": answer.index}
            self._give_up(job, leg)
            self._take(job, leg, Answer("error", answer.code, error), hook=False)
            return
        complete = len(items) == leg.items
        complete = complete and all(a.status == "success" for a in items.values())
        _must(complete, f"{job.jid} {leg.aid}{leg.dad}: not every item has a result")
        results = [items[i].data for i in range(leg.items)]
        self._take(job, leg, Answer("success", 200, results), hook=False)

    def _pass_on(
        self,
        job: Job,
        leg: Leg,
        me: Activation,
        code: int,
        *,
        output: Any = None,
        maps: bool = True,
    ) -> None:
        """What an activation leads to is chosen first, then its maps apply."""
        context = self._context(job, me)
        following, _ = self._chosen(job, me, context, code)
        if output is not None:
            me.output = self._maps(output, context)
        if maps:
            self._map(job, me)
        self._follow(job, leg, me, code, following)

    def _fail(self, job: Job, leg: Leg, data: Any, code: int) -> None:
        error = _error(data, code)
        me = Activation(leg.aid, leg.dad, leg.visible, output=error, hook=error)
        following, handled = self._chosen(job, me, self._context(job, me), code)
        me.hook = UNDEFINED
        if not handled:
            job.error = error
        self._follow(job, leg, me, code, following)

    def _chosen(self, job: Job, me: Activation, context: Any, code: int) -> tuple[list[str], bool]:
        following, handled = [], False
        for edge in self.graphs[job.topic].transitions.get(me.aid, ()):
            when = edge.get("conditions")
            if when is None or compile_condition(when)(context, code, self._env()):
                following.append(edge["to"])
                handled = handled or when is not None
        return following, handled

    def _follow(self, job: Job, leg: Leg, me: Activation, code: int, following: list[str]) -> None:
        leg.generation += 1
        job.history.append(me)
        job.codes.append((me.aid, me.dad, code))
        node = self._node(job, me.aid)
        status = job.open() + len(following)
        emits = "emit" in node and self._eval(node["emit"], self._context(job, me))
        if emits and status > 0:
            self._tell(job, Answer("pending", 202, copy.deepcopy(job.data)), status)
        visible = {**me.visible, me.aid: me}
        for aid in following:
            if "join" in self._node(job, aid) and len(self.graphs[job.topic].parents[aid]) > 1:
                self._arrive(job, aid, me)
            else:
                job.queue.append(Entry(Leg(aid, me.dad, visible)))

    # -- joins

    def _arrive(self, job: Job, aid: str, me: Activation) -> None:
        fork_aid = self.graphs[job.topic].fork(aid)
        fork = me if me.aid == fork_aid else me.visible[fork_aid]
        join = next((j for j in job.joins if j.aid == aid and j.fork is fork), None)
        if join is None:
            join = Join(aid, fork)
            job.joins.append(join)
        if join.waiting:
            join.came.setdefault(me.aid, me)
            if len(join.came) >= self._needs(job, aid):
                self._go_on(job, join)

    def _needs(self, job: Job, aid: str) -> int:
        count, how = len(self.graphs[job.topic].parents[aid]), self._node(job, aid)["join"]
        return count if how == "all" else 1 if how == "any" else int(min(how, count))

    def _go_on(self, job: Job, join: Join, how: str = "enter") -> None:
        """It sees what those that came saw; of what else lies before it, the last turn."""
        join.waiting = False
        visible = dict(join.fork.visible) | {join.fork.aid: join.fork}
        above = self.graphs[job.topic].above(join.aid)
        for other in sorted(job.history, key=_turn):
            if other.aid in above and other.visible.get(join.fork.aid) is join.fork:
                visible[other.aid] = other
        for parent in join.came.values():
            visible.update(parent.visible)
        visible.update(join.came)
        job.queue.append(Entry(Leg(join.aid, join.fork.dad, visible), how))

    def _settle(self, job: Job) -> None:
        """Nothing else goes on, so nobody else can come to a join that lies behind no other."""
        joins = job.waiting_joins()
        if not joins or job.open() > len(joins):
            return
        reach = self.graphs[job.topic].reaches
        free = [
            j
            for j in joins
            if not any(reach(k.aid, j.aid, j.fork.aid) for k in joins if k is not j)
        ]
        for join in free or joins[:1]:
            unmet = self._node(job, join.aid)["join"] != "all"
            self._go_on(job, join, "unmet" if unmet else "enter")

    # -- the end

    def _after(self, job: Job) -> None:
        if not job.ended:
            self._settle(job)
            if job.open() == 0:
                self._end(job)

    def _end(self, job: Job) -> None:
        job.ended = True
        if job.error is not None:
            self._tell(job, Answer("error", job.error["code"], job.error))
        else:
            self._tell(job, Answer("success", 200, job.data))

    def _tell(self, job: Job, answer: Answer, status: int = 0) -> None:
        """Subscribers and the parent hear of a job's state, or of its end."""
        end = answer.status != "pending"
        job.published.append(None if end else (status, answer.data))
        if job.parent is not None:
            _, leg, index = job.parent
            leg.mail.append(Answer(answer.status, answer.code, answer.data, index))

    # -- small

    def _wait(self, leg: Leg) -> None:
        leg.waiting, leg.began_ms = True, self.now_ms

    def _waiting(self, job: Job, aid: str, dad: str) -> Leg:
        self._must_run(job)
        for leg in job.legs:
            if leg.waiting and (leg.aid, leg.dad) == (aid, dad):
                return leg
        raise Impossible(f"{job.jid}: {aid}{dad} does not wait")

    def _must_run(self, job: Job) -> None:
        _must(not job.ended, f"{job.jid} has ended, and goes on")

    def _node(self, job: Job, aid: str) -> Any:
        return self.graphs[job.topic].activities[aid]

    def _waits(self, job: Job, aid: str) -> bool:
        return "sleep" in self._node(job, aid) or any(r["to"] == aid for r in self.rules.values())

    def _map(self, job: Job, me: Activation) -> None:
        maps = self._node(job, me.aid).get("job")
        if maps is not None:
            _merge(job.data, self._maps(maps, self._context(job, me)), maps["maps"])

    def _input(self, node: Any, context: Any) -> Any:
        return self._maps(node["input"], context) if "input" in node else {}

    def _context(self, job: Job, me: Activation) -> dict[str, Any]:
        """What rules see. Copies: no rule may change what has happened."""
        seen = {a.aid: _seen(a) for a in me.visible.values()}
        mine = _seen(me)
        if me.dad == ",0":
            mine["input"] = mine["output"]
        about = {"data": copy.deepcopy(job.data), "metadata": {"jid": job.jid}}
        return {**seen, me.aid: mine, "$self": mine, "$job": about}

    def _eval(self, rule: Any, context: Any) -> Any:
        return _value(rule)(context, self._env())

    def _maps(self, holder: Any, context: Any) -> Any:
        return plain(compile_maps(holder["maps"])(context, self._env()))

    def _env(self) -> Env:
        return Env(now_ms=self.now_ms, random=lambda: 0.5)


class Graph:
    """A graph of the model, and what lies before and behind what."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self.activities: dict[str, Any] = graph["activities"]
        self.transitions: dict[str, Any] = graph.get("transitions", {})
        self.hooks: dict[str, Any] = graph.get("hooks", {})
        self.trigger = next(k for k, a in self.activities.items() if a["type"] == "trigger")
        self.parents: dict[str, list[str]] = {aid: [] for aid in self.activities}
        for origin, edges in self.transitions.items():
            for edge in edges:
                self.parents[edge["to"]].append(origin)
        self.above = cache(self._above)
        self.fork = cache(self._fork)
        self.reaches = cache(self._reaches)

    def _above(self, aid: str) -> frozenset[str]:
        """Everything on some way from the trigger to an activity."""
        found: set[str] = set()
        for parent in self.parents[aid]:
            found |= {parent} | self.above(parent)
        return frozenset(found)

    def _fork(self, aid: str) -> str:
        """The last activity that lies on every way to this one."""

        def on_every_way(one: str) -> frozenset[str]:
            ways = [on_every_way(p) for p in self.parents[one]]
            return frozenset({one}) | (frozenset.intersection(*ways) if ways else frozenset())

        before = on_every_way(aid) - {aid}
        return max(before, key=lambda one: len(on_every_way(one)))

    def _reaches(self, one: str, other: str, around: str) -> bool:
        """Whether a way leads on from one activity to another that does not pass a third."""
        seen, todo = {around}, [one]
        while todo:
            aid = todo.pop()
            following = [e["to"] for e in self.transitions.get(aid, ())]
            if "ancestor" in self.activities[aid]:
                following.append(self.activities[aid]["ancestor"])
            for to in following:
                if to == other:
                    return True
                if to not in seen:
                    seen.add(to)
                    todo.append(to)
        return False


def _turn(a: Activation) -> list[int]:
    return [int(i) for i in a.dad.split(",")[1:]]


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Impossible(what)


def _item(leg: Leg, index: int) -> str:
    """Where an item of `each` has its answer; index below 0: the activity itself."""
    return f"{leg.above},{index}" if index >= 0 else f"{leg.above},0"


def _seen(a: Activation) -> dict[str, Any]:
    about = {"dad": a.dad, "aid": a.aid}
    output = {"data": copy.deepcopy(a.output), "metadata": about}
    return {"output": output, "hook": {"data": copy.deepcopy(a.hook), "metadata": about}}


def _value(rule: Any) -> Callable[[Any, Env], Any]:
    return compile_value(rule)


def _ms(value: Any) -> int:
    if isinstance(value, str):
        number = value.rstrip("msh")
        return int(number) * UNITS_MS[value[len(number) :]]
    return int(value * 1000)


def _error(data: Any, code: int) -> dict[str, Any]:
    """The error that a failed answer stands for."""
    return {**data, "message": data.get("message", "unknown"), "code": code}


def _merge(target: dict[str, Any], mapped: Any, maps: Any) -> None:
    """Maps inside maps are merged, any other value replaces."""
    for key, value in mapped.items():
        if isinstance(maps[key], dict) and "@pipe" not in maps[key]:
            if not isinstance(target.get(key), dict):
                target[key] = {}
            _merge(target[key], value, maps[key])
        else:
            target[key] = value


def outcomes(jobs: Iterable[Job]) -> dict[str, Any]:
    """What users see of jobs."""
    return {j.jid: (j.ended, j.interrupted, j.data, j.error) for j in jobs}

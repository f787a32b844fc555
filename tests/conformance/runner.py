"""Plays one recorded scenario through the public interface and compares what comes back.

A scenario is a model and a script, `models/NN-name.yaml` and `models/NN-name.json`. The script's
language (steps, worker behaviours, patterns) is described in `/conformance/models/README.md`. Each
scenario is played under a key namespace of its own, so that any number can share a server.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from ruamel.yaml import YAML
from support import eventually
from vectors import decode, same

from hotmesh import HotMesh, HotMeshError, JobNotFound, JobOutput, StreamData, StreamResult, Worker
from hotmesh.mapping import Date

FOLDER = Path(__file__).parent / "models"
POLL_S = 0.015
AFTER_MESSAGES_S, AFTER_CALLS_S = 0.15, 0.03

Step = Mapping[str, Any]
Behaviour = Mapping[str, Any]
OpenMesh = Callable[..., Awaitable[HotMesh]]


class Mismatch(AssertionError):
    """A step gave something else than was recorded; `scenario` and `step` (from 1) say where."""

    def __init__(self, scenario: str, step: int, text: str) -> None:
        self.scenario, self.step = scenario, step
        super().__init__(f"{scenario}, {f'step {step}' if step else 'setup'}: {text}")


class Scenario(msgspec.Struct, frozen=True):
    """A script, as it stands in its file."""

    name: str
    title: str
    steps: list[dict[str, Any]]
    workers: dict[str, Any] = {}
    setup: bool = True

    @property
    def model(self) -> Path:
        return FOLDER / f"{self.name}.yaml"

    def app_id(self) -> str:
        return str(YAML(typ="safe").load(self.model)["app"]["id"])


def scenario_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> Scenario:
    script = json.loads((FOLDER / f"{name}.json").read_text())
    return msgspec.convert({**script, "name": name}, Scenario)


async def play(scenario: Scenario, open_mesh: OpenMesh) -> None:
    """Play all steps, in order.

    Args:
        open_mesh: `HotMesh.init` for some server; whoever gives it stops what it opens.

    Raises:
        Mismatch: A step gave something else than the script accepts.
    """
    actors = {topic: Actor(topic, said) for topic, said in scenario.workers.items()}
    mesh = await open_mesh(
        app_id=scenario.app_id(),
        namespace=f"s{secrets.token_hex(8)}",
        workers=[Worker(topic, actor.handle) for topic, actor in actors.items()],
    )
    player = Player(mesh, actors)
    try:
        if scenario.setup:
            await _set_up(mesh, scenario)
        for number, step in enumerate(scenario.steps, 1):
            await _play_step(player, scenario, number, step)
    finally:
        for actor in actors.values():
            await actor.leave()


async def _set_up(mesh: HotMesh, scenario: Scenario) -> None:
    try:
        deployed = await mesh.deploy(str(scenario.model))
        await mesh.activate(deployed.version)
    except HotMeshError as exc:
        raise Mismatch(scenario.name, 0, f"the model was refused: {exc}") from exc


async def _play_step(player: Player, scenario: Scenario, number: int, step: Step) -> None:
    try:
        got, failure = await player.do(step), None
    except HotMeshError as exc:
        got, failure = error_of(exc), exc
        if "as" in step and "job_id" in got["error"]:
            player.names[step["as"]] = got["error"]["job_id"]
    except Exception as exc:
        text = f"{step['do']} crashed: {type(exc).__name__}: {exc}"
        raise Mismatch(scenario.name, number, text) from exc
    expected = player.named(step.get("expect", {}))
    if "expect" not in step and failure is None:
        return
    if _holds(step, expected, got):
        return
    if step.get("may_differ"):
        if "better" not in step:
            return  # any result will do
        better = player.named(step["better"])
        if _holds(step, better, got):
            return
        expected = {"recorded": expected, "better": better}
    text = f"{_short(step)}\n  expected  {expected!r}\n  got       {got!r}"
    raise Mismatch(scenario.name, number, text) from failure


def _short(step: Step) -> str:
    left_out = ("expect", "better", "said")
    return json.dumps({k: v for k, v in step.items() if k not in left_out}, ensure_ascii=False)


# -- steps


class Player:
    """What a script's steps share: the mesh, the workers, names and subscriptions."""

    def __init__(self, mesh: HotMesh, actors: Mapping[str, Actor]) -> None:
        self.mesh, self.actors = mesh, actors
        self.names: dict[str, str] = {}
        self.heard: dict[str, list[dict[str, Any]]] = {}
        for actor in actors.values():
            actor.mesh = mesh

    async def do(self, step: Step) -> dict[str, Any]:
        """Do one step; what it gave, in the script's encoding."""
        arguments = {k: self.named(v) for k, v in step.items() if k not in ("expect", "better")}
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in step["do"])
        method: Callable[[Step], Awaitable[dict[str, Any]]] = getattr(self, f"do_{name}")
        return await method({**arguments, "as": step.get("as", "")})

    def named(self, value: Any) -> Any:
        """The value with each `$name` replaced by what the name stands for."""
        if isinstance(value, str) and value.startswith("$"):
            return self.names.get(value[1:], value)
        if isinstance(value, list):
            return [self.named(item) for item in value]
        if isinstance(value, dict):
            return {key: self.named(item) for key, item in value.items()}
        return value

    async def do_pub(self, step: Step) -> dict[str, Any]:
        jid = await self.mesh.pub(step["topic"], decode(step["data"]))
        self.names[step["as"]] = jid
        return {"job": jid}

    async def do_pubsub(self, step: Step) -> dict[str, Any]:
        timeout_s = step.get("timeout_ms", 6000) / 1000
        output = await self.mesh.pubsub(step["topic"], decode(step["data"]), timeout=timeout_s)
        self.names[step["as"]] = output.metadata.jid
        return published(output)

    async def do_sub(self, step: Step) -> dict[str, Any]:
        return await self._subscribe(self.mesh.sub, step)

    async def do_psub(self, step: Step) -> dict[str, Any]:
        return await self._subscribe(self.mesh.psub, step)

    async def _subscribe(self, subscribe: Callable[..., Any], step: Step) -> dict[str, Any]:
        messages: list[dict[str, Any]] = []
        self.names[step["as"]], self.heard[step["as"]] = step["as"], messages

        def hear(topic: str, output: JobOutput) -> None:
            messages.append({"topic": topic, **published(output)})

        await subscribe(step["topic"], hear)
        return {}

    async def do_messages(self, step: Step) -> dict[str, Any]:
        messages, count = self.heard[step["of"]], step.get("count", 0)
        await _until(lambda: len(messages) >= count, step.get("timeout_ms", 6000))
        await asyncio.sleep(AFTER_MESSAGES_S)
        return {"messages": list(messages)}

    async def do_hook(self, step: Step) -> dict[str, Any]:
        options = {name: step[name] for name in ("status", "code") if name in step}
        await self.mesh.hook(step["topic"], decode(step["data"]), **options)
        return {"ok": True}

    async def do_hook_all(self, step: Step) -> dict[str, Any]:
        result = await self.mesh.hook_all(
            step["topic"], decode(step["data"]), step["query"], facets=step.get("facets", [])
        )
        return {"indexes": len(result.indexes)}

    async def do_interrupt(self, step: Step) -> dict[str, Any]:
        await self.mesh.interrupt(step["topic"], step["job"], **step.get("options", {}))
        return {"ok": True}

    async def do_scrub(self, step: Step) -> dict[str, Any]:
        await self.mesh.scrub(step["job"])
        return {"ok": True}

    async def do_get_status(self, step: Step) -> dict[str, Any]:
        return {"status": await self.mesh.get_status(step["job"])}

    async def do_get_state(self, step: Step) -> dict[str, Any]:
        output = await self.mesh.get_state(step["topic"], step["job"])
        return {"data": output.data, "metadata": msgspec.structs.asdict(output.metadata)}

    async def do_get_query_state(self, step: Step) -> dict[str, Any]:
        return {"fields": await self.mesh.get_query_state(step["job"], step["fields"])}

    async def do_get_stats(self, step: Step) -> dict[str, Any]:
        return {"stats": await self.mesh.get_stats(step["topic"], step["query"])}

    async def do_get_ids(self, step: Step) -> dict[str, Any]:
        facets = step.get("facets", [])
        return {"ids": await self.mesh.get_ids(step["topic"], step["query"], facets=facets)}

    async def do_deploy(self, step: Step) -> dict[str, Any]:
        return {"deployed": (await self.mesh.deploy(str(FOLDER / step["file"]))).version}

    async def do_activate(self, step: Step) -> dict[str, Any]:
        return {"activated": await self.mesh.activate(step["version"])}

    async def do_wait(self, step: Step) -> dict[str, Any]:
        await asyncio.sleep(step["ms"] / 1000)
        return {}

    async def do_wait_status(self, step: Step) -> dict[str, Any]:
        seen: int | str = "never asked"

        async def reached() -> bool:
            nonlocal seen
            try:
                seen = await self.mesh.get_status(step["job"])
            except JobNotFound:
                seen = "gone"
            return bool(seen == step["status"])

        await _until(reached, step.get("timeout_ms", 8000))
        return {"status": seen}

    async def do_wait_gone(self, step: Step) -> dict[str, Any]:
        return await self.do_wait_status({"timeout_ms": 6000, **step, "status": "gone"})

    async def do_wait_calls(self, step: Step) -> dict[str, Any]:
        calls = self.actors[step["topic"]].calls
        await _until(lambda: len(calls) >= step["count"], step.get("timeout_ms", 6000))
        await asyncio.sleep(AFTER_CALLS_S)
        return {"count": len(calls)}

    async def do_calls(self, step: Step) -> dict[str, Any]:
        calls = self.actors[step["topic"]].calls
        if step.get("count_only"):
            return {"count": len(calls)}
        return {"count": len(calls), "calls": list(calls)}


async def _until(condition: Callable[[], Any], timeout_ms: int) -> None:
    """Poll; what came of it is for the step's comparison to judge."""
    with suppress(AssertionError):
        await eventually(condition, timeout_ms / 1000)


def error_of(exc: HotMeshError) -> dict[str, Any]:
    """An error as the script writes one: its fields, with the worker's own message."""
    error = {"message": getattr(exc, "message", str(exc)), "code": exc.code}
    for name in ("job_id", "error"):
        if getattr(exc, name, None) is not None:
            error[name] = getattr(exc, name)
    return {"error": error}


def published(output: JobOutput) -> dict[str, Any]:
    """A result as it travels in a message, where dates are text."""
    metadata = as_json(msgspec.structs.asdict(output.metadata))
    return {"data": as_json(output.data), "metadata": metadata}


def as_json(value: Any) -> Any:
    """The value with every date as its ISO text."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return value


# -- comparing

PATTERNS: Mapping[str, Callable[[Any], bool]] = {
    "<any>": lambda got: True,
    "<id>": lambda got: isinstance(got, str) and got != "",
    "<text>": lambda got: isinstance(got, str),
    "<negative>": lambda got: type(got) is int and got < 0,
    "<time>": lambda got: _fits(r"\d{14}\.\d{3}", got),
    "<slot>": lambda got: _fits(r"\d{12}", got),
    "<iso>": lambda got: _fits(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?", got
    ),
}

OPEN_FIELDS = frozenset({"start", "end", "range", "aggregates"})
"""What answers of the statistics may hold beyond the recorded ones: the query's own words, and the
sums that the original stores and never tells."""


def _fits(pattern: str, got: Any) -> bool:
    return isinstance(got, str) and re.fullmatch(pattern, got) is not None


def _holds(step: Step, expected: Any, got: dict[str, Any]) -> bool:
    """Whether a result is what a script expects of this step."""
    if "error" in expected or "error" in got:
        return "error" in expected and "error" in got and _error(expected["error"], got["error"])
    if "data" in expected or "metadata" in expected:
        return _output(expected, got)
    if "messages" in expected:
        return _items(_output, expected["messages"], got["messages"], step.get("unordered", False))
    if "calls" in expected:
        if not matches(expected["count"], got["count"]):
            return False
        return _items(_call, expected["calls"], got["calls"], step.get("unordered", False))
    if "stats" in expected or "ids" in expected:
        key = "stats" if "stats" in expected else "ids"
        got_fields = {
            k: v for k, v in got[key].items() if k in expected[key] or k not in OPEN_FIELDS
        }
        return matches(expected[key], got_fields)
    problem = {"problem"}  # how the original logged it
    return matches({k: v for k, v in expected.items() if k not in problem}, got)


def _error(expected: Any, got: Any) -> bool:
    return expected == "<any>" or _listed(expected, got)


def _output(expected: Mapping[str, Any], got: Mapping[str, Any]) -> bool:
    """The data exactly, of the metadata and the rest what is listed; an error only if listed."""
    expected_meta, got_meta = expected["metadata"], got["metadata"]
    if ("err" in expected_meta) != (got_meta.get("err") is not None):
        return False
    rest = {k: v for k, v in expected.items() if k not in ("data", "metadata")}
    return (
        _data(expected["data"], got["data"])
        and _listed(expected_meta, got_meta)
        and _listed(rest, got)
    )


def _call(expected: Mapping[str, Any], got: Mapping[str, Any]) -> bool:
    """A call without data is one whose input is empty."""
    rest = {k: v for k, v in expected.items() if k != "data"}
    return _data(expected.get("data"), got["data"]) and _listed(rest, got)


def _data(expected: Any, got: Any) -> bool:
    return got in (None, {}) if expected is None else matches(expected, got)


def _listed(expected: Mapping[str, Any], got: Mapping[str, Any]) -> bool:
    return all(
        matches(value, got[key]) if key in got else value == "<any>"
        for key, value in expected.items()
    )


def _items(
    match: Callable[[Any, Any], bool],
    expected: Sequence[Any],
    got: Sequence[Any],
    unordered: bool,
) -> bool:
    if len(expected) != len(got):
        return False
    if not unordered:
        return all(match(one, other) for one, other in zip(expected, got, strict=True))
    left = list(got)
    for one in expected:
        at = next((i for i, other in enumerate(left) if match(one, other)), None)
        if at is None:
            return False
        del left[at]
    return True


def matches(expected: Any, got: Any) -> bool:
    """Whether a value is what an expectation, with its patterns and encoded values, stands for."""
    if isinstance(expected, str) and expected in PATTERNS:
        return PATTERNS[expected](got)
    if isinstance(got, datetime):
        got = Date(round(got.timestamp() * 1000))
    if isinstance(expected, list):
        return isinstance(got, list) and _items(matches, expected, got, unordered=False)
    if isinstance(expected, dict) and isinstance(decode(expected), dict):
        if not isinstance(got, dict):
            return False
        unlisted = [v for k, v in got.items() if k not in expected and v is not None]
        return not unlisted and _listed(expected, got)
    return same(got, decode(expected))


# -- workers


class Actor:
    """The worker of one topic: does what the script says and remembers how it was called."""

    def __init__(self, topic: str, said: Behaviour | list[Behaviour]) -> None:
        self.topic = topic
        self.calls: list[dict[str, Any]] = []
        self.mesh: HotMesh | None = None
        self._behaviours = said if isinstance(said, list) else [said]
        self._count: Counter[str] = Counter()
        self._later: set[asyncio.Task[None]] = set()

    async def handle(self, msg: StreamData) -> StreamResult | None:
        meta = msg.metadata
        data = as_json(msg.data)
        call = {"aid": meta.aid, "data": data, "dad": meta.dad, "try": meta.try_count}
        self.calls.append(call)
        self._count[meta.jid] += 1
        number = self._count[meta.jid]
        facts = {
            "$n": number,
            "$try": meta.try_count,
            "$topic": meta.topic,
            "$jid": meta.jid,
            "$aid": meta.aid,
        }
        scope = {**data, **facts} if isinstance(data, dict) else facts
        behaviour = self._behaviours[min(number, len(self._behaviours)) - 1]
        for further in behaviour.get("then", ()):
            self._later.add(asyncio.create_task(self._answer_later(msg, further, scope)))
        await asyncio.sleep(behaviour.get("delay_ms", 0) / 1000)
        if behaviour.get("no_reply"):
            return None
        if "throw" in behaviour:
            raise RuntimeError(fill(behaviour["throw"], scope))
        return _result(behaviour, scope)

    async def _answer_later(
        self, msg: StreamData, behaviour: Behaviour, scope: dict[str, Any]
    ) -> None:
        await asyncio.sleep(behaviour["after_ms"] / 1000)
        assert self.mesh is not None
        result = _result(behaviour, scope)
        await self.mesh.add(msgspec.structs.replace(result, metadata=msg.metadata))

    async def leave(self) -> None:
        """Give up answers that are not due yet; raise what became of the others."""
        for task in self._later:
            task.cancel()
        for outcome in await asyncio.gather(*self._later, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


def _result(behaviour: Behaviour, scope: Mapping[str, Any]) -> StreamResult:
    if "error" in behaviour:
        error = fill(behaviour["error"], scope)
        return StreamResult(data=error, status="error", code=error.get("code"))
    code = fill(behaviour["code"], scope) if "code" in behaviour else None
    return StreamResult(
        data=fill(behaviour.get("return", {}), scope),
        status=behaviour.get("status", "success"),
        code=code,
    )


# -- templates

_MISSING = object()
_WHOLE, _PART = re.compile(r"\{([^{}]+)\}"), re.compile(r"\{([^{}]+)\}")


def fill(template: Any, scope: Mapping[str, Any]) -> Any:
    """A template with its `{path}`s replaced; a field whose whole value is missing is left out."""
    filled = _fill(template, scope)
    return None if filled is _MISSING else filled


def _fill(template: Any, scope: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        if whole := _WHOLE.fullmatch(template):
            return _look_up(whole[1], scope)
        return _PART.sub(lambda part: _as_text(_look_up(part[1], scope)), template)
    if isinstance(template, list):
        return [item for t in template if (item := _fill(t, scope)) is not _MISSING]
    if isinstance(template, dict):
        filled = {key: _fill(value, scope) for key, value in template.items()}
        return {key: value for key, value in filled.items() if value is not _MISSING}
    return template


def _look_up(path: str, scope: Mapping[str, Any]) -> Any:
    value: Any = scope
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, Mapping) and part in value:
            value = value[part]
        else:
            return _MISSING
    return value


def _as_text(value: Any) -> str:
    if value is _MISSING:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

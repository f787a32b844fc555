"""The worker of a task queue: it runs workflows and activities until it is told to stop."""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from hotmesh.connect import Connection, Source
from hotmesh.durable import guard
from hotmesh.durable.activity import Activity, activity_name
from hotmesh.durable.attempts import Function
from hotmesh.durable.calls import Calls
from hotmesh.durable.codec import PayloadCodec
from hotmesh.durable.definition import WorkflowDef, registry_of
from hotmesh.durable.errors import RegistrationError
from hotmesh.durable.interceptors import (
    ActivityInterceptor,
    Interceptor,
    WorkflowInterceptor,
    chain_of,
)
from hotmesh.durable.keeper import Keeper
from hotmesh.durable.point import Point, open_point
from hotmesh.durable.turns import Turns
from hotmesh.durations import Duration, parse
from hotmesh.engine import EngineComponent
from hotmesh.errors import SettingsInvalid
from hotmesh.ids import check_topic, guid
from hotmesh.lifecycle import Component, Host
from hotmesh.log import get_logger
from hotmesh.quorum import Member, Served
from hotmesh.release import RELEASE
from hotmesh.router import RouterSettings
from hotmesh.router.member import consumer_name
from hotmesh.telemetry import Observer

log = get_logger("hotmesh.durable")

ENGINE_BATCH = 200


class Worker:
    """Serves one task queue. Made by `create`; `run` it, or use it as a context."""

    def __init__(
        self,
        point: Point,
        *,
        task_queue: str,
        workflows: Sequence[Any] = (),
        activities: Sequence[Any] = (),
        hooks: Sequence[Callable[..., Any]] = (),
        concurrency: int = 100,
        max_cached: int = 1_000,
        threads: int | None = None,
        lease: Duration = "15s",
        grace: Duration = "10s",
        build_id: str = "",
        engine: bool = True,
        deadlock_timeout: Duration | None = "2s",
        eager: bool = True,
        strict: bool = False,
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        """Used by `create`, whose arguments these are."""
        check_topic(task_queue)
        if not workflows and not activities:
            raise RegistrationError("a worker needs workflows= or activities=")
        if not 1 <= concurrency <= 10_000:
            raise SettingsInvalid(f"concurrency lies between 1 and 10,000, not {concurrency}")
        self.point, self.task_queue = point, task_queue
        self.definitions = registry_of(workflows)
        self.functions = functions_of(activities)
        self.identity = consumer_name()
        store, connection = point.store, point.connection
        settings = RouterSettings(capacity=concurrency, lease_ms=parse(lease))
        grace_s = parse(grace) / 1000
        calls = Calls(
            connection,
            store,
            task_queue,
            self.identity,
            self.functions,
            settings,
            threads=threads or min(concurrency, 100),
            grace_s=grace_s,
            worker=self.identity,
            coder=point.coder,
            interceptors=chain_of(ActivityInterceptor, interceptors),
        )
        self.calls = calls
        self.turns: Turns | None = None
        stages: list[list[Component]] = []
        if engine:
            batch = RouterSettings(
                capacity=ENGINE_BATCH, batch_max=ENGINE_BATCH, lease_ms=parse(lease)
            )
            stages.append([EngineComponent(connection, store, point.engine, batch, point.metrics)])
        stages.append([Keeper(store, self.identity, [task_queue], parse(lease))])
        stages.append([calls])
        if workflows:
            guard.install()
            self._check_sources(workflows, strict=strict)
            self.turns = Turns(
                connection,
                store,
                task_queue,
                self.identity,
                self.definitions,
                _hooks_of([*workflows, *hooks]),
                settings,
                calls,
                Observer(store.keys.app_id, point.metrics, store.clock.now_ms),
                point.coder,
                eager=eager,
                cached_max=max_cached,
                grace_s=grace_s,
                worker=self.identity,
                build=build_id,
                deadlock_s=None if deadlock_timeout is None else parse(deadlock_timeout) / 1000,
                interceptors=chain_of(WorkflowInterceptor, interceptors),
            )
            stages.append([self.turns])
        roles = tuple(served.role for served in _served(stages, task_queue))
        member = Member(
            connection,
            store,
            point.engine.plans,
            guid=guid(),
            roles=roles,
            release=RELEASE,
            consumer=self.identity,
            serves=lambda: _served(stages, task_queue),
        )
        # First, so that a throttle is kept from the first entry on.
        self.host = Host([[member], *stages])
        self._started = self._owned = False
        self._stop = asyncio.Event()
        self._finishing: asyncio.Future[None] | None = None

    @classmethod
    async def create(
        cls,
        redis: Source | Connection = None,
        *,
        task_queue: str = "default",
        workflows: Sequence[Any] = (),
        activities: Sequence[Any] = (),
        namespace: str = "durable",
        hooks: Sequence[Callable[..., Any]] = (),
        concurrency: int = 100,
        max_cached: int = 1_000,
        threads: int | None = None,
        lease: Duration = "15s",
        grace: Duration = "10s",
        partitions: int | None = None,
        build_id: str = "",
        engine: bool = True,
        deadlock_timeout: Duration | None = "2s",
        eager: bool = True,
        strict: bool = False,
        codecs: Sequence[PayloadCodec] = (),
        interceptors: Sequence[Interceptor] = (),
    ) -> Worker:
        """Connect, and check what is registered. Nothing runs before `run` or `start`.

        Args:
            redis: As everywhere; None for `HOTMESH_REDIS_URL` or the embedded server.
            workflows: Async functions, or classes with `@workflow.run`.
            activities: Functions, what `@activity` made of them, or objects whose public methods
                they are.
            hooks: Further functions that `workflow.hook` may run in runs of this queue.
            concurrency: Activities, and turns of workflows, at once.
            max_cached: Runs kept in memory between their turns; 0 replays every turn.
            threads: For activities that are plain functions; as many as `concurrency`, at most
                100.
            lease: How long this process may be silent before what it holds goes to others.
            grace: How long activities may run on when the worker stops.
            build_id: Of this code, for histories and `versioning="pinned"`.
            engine: Whether this process fires timers and forwards messages. Some process of the
                namespace must.
            deadlock_timeout: A turn that takes longer is reported; None for never.
            eager: Whether activities of this queue are begun here at once, without the queue.
            codecs: As the client's.
            interceptors: Around workflows, their steps and activities; the first is the outermost.
            strict: Whether workflow code that looks as if a replay could not repeat it is refused;
                otherwise it is only warned of. `# durable: ok` on a line silences it.

        Raises:
            RegistrationError: Something is no workflow or activity, or a name is taken twice.
            ServerUnavailable, ServerUnsuitable, ConnectionInvalid: There is no server to work on.
        """
        point = await open_point(redis, namespace, partitions, "durable", codecs)
        try:
            worker = cls(
                point,
                task_queue=task_queue,
                workflows=workflows,
                activities=activities,
                hooks=hooks,
                concurrency=concurrency,
                max_cached=max_cached,
                threads=threads,
                lease=lease,
                grace=grace,
                build_id=build_id,
                engine=engine,
                deadlock_timeout=deadlock_timeout,
                eager=eager,
                strict=strict,
                interceptors=interceptors,
            )
        except BaseException:
            await point.close()
            raise
        worker._owned = True
        return worker

    def _check_sources(self, workflows: Sequence[Any], *, strict: bool) -> None:
        found = [finding for target in workflows for finding in guard.check_source(target)]
        if found and strict:
            raise RegistrationError("\n".join(str(finding) for finding in found))
        for finding in found:
            log.warning("workflow.doubtful", finding=str(finding))

    async def start(self) -> None:
        """Begin to serve; returns once the queues are read."""
        if self._started:
            return
        self._started = True
        try:
            await self.host.start()
        except BaseException:
            await self._close()
            raise
        log.info("worker.started", queue=self.task_queue, worker=self.identity)

    async def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; then drain and return. A second signal stops at
        once.

        Raises:
            BaseException: What a part of the worker crashed with.
        """
        await self.start()
        assert self.host.failed is not None
        loop = asyncio.get_running_loop()
        second = asyncio.Event()

        def receive() -> None:
            (second if self._stop.is_set() else self._stop).set()

        numbers = []
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, receive)
                numbers.append(number)
            except (ValueError, RuntimeError, NotImplementedError):
                break  # not the main thread: whoever runs us stops us
        waiting = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait([waiting, self.host.failed], return_when=asyncio.FIRST_COMPLETED)
            stopping = asyncio.create_task(self._finish())
            hurry = asyncio.create_task(second.wait())
            await asyncio.wait([stopping, hurry], return_when=asyncio.FIRST_COMPLETED)
            hurry.cancel()
            if not stopping.done():
                stopping.cancel()
                await asyncio.wait([stopping])
                await self.host.kill()
        except asyncio.CancelledError:
            await asyncio.shield(self._finish())
            raise
        finally:
            waiting.cancel()
            for number in numbers:
                loop.remove_signal_handler(number)
            await self._close()
        if self.host.failed.done():
            raise self.host.failed.result()

    async def stop(self) -> None:
        """Drain and close. May be called twice, and while `run` runs."""
        self._stop.set()
        await self._finish()
        await self._close()

    async def _finish(self) -> None:
        if self._started:
            if self._finishing is None:
                self._finishing = asyncio.ensure_future(self.host.stop())
            await asyncio.shield(self._finishing)

    async def _close(self) -> None:
        if self._owned:
            self._owned = False
            await self.point.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def functions_of(activities: Sequence[Any]) -> dict[str, Function]:
    """Activities by name.

    Raises:
        RegistrationError: One is none, or two have one name.
    """
    found: dict[str, Function] = {}
    for name, fn in _expanded(activities):
        if name in found:
            raise RegistrationError(
                f"two activities have the name {name!r}; give one another: @activity(name=...)"
            )
        found[name] = fn
    return found


def _expanded(activities: Sequence[Any]) -> list[tuple[str, Function]]:
    pairs: list[tuple[str, Function]] = []
    for given in activities:
        if isinstance(given, Activity):
            pairs.append((given.name, Function(given.fn, given.name, given.signature)))
        elif inspect.isroutine(given) or (callable(given) and hasattr(given, "__name__")):
            name = activity_name(given)
            bound = getattr(given, "__func__", None)
            fn = given if not isinstance(bound, Activity) else bound.fn.__get__(given.__self__)
            pairs.append((name, Function(fn, name)))
        elif inspect.ismodule(given) or not callable(given):
            pairs += _members(given)
        else:
            raise RegistrationError(
                f"{given!r:.80} is no activity; give functions, or an object with methods"
            )
    return pairs


def _members(given: Any) -> list[tuple[str, Function]]:
    home = given.__name__ if inspect.ismodule(given) else None
    found = []
    for name in dir(given):
        value = getattr(given, name)
        if name.startswith("_") or inspect.isclass(value):
            continue
        inner = value.fn if isinstance(value, Activity) else value
        if home is not None and getattr(inner, "__module__", None) != home:
            continue
        if isinstance(value, Activity) or inspect.isroutine(value):
            found += _expanded([value])
    if not found:
        raise RegistrationError(f"{given!r:.80} has no functions that could be activities")
    return found


def _served(stages: Sequence[Sequence[Component]], queue: str) -> list[Served]:
    """The routers of a worker, as the fleet sees them; a throttle by topic means the queue."""
    found = []
    for component in (c for stage in stages for c in stage):
        if isinstance(component, EngineComponent):
            found.append(Served("engine", "", component.router, component.drain))
        elif isinstance(component, (Calls, Turns)):
            part = Served(component.name, queue, component.router, component.drain, is_named=True)
            found.append(part)
    return found


def _hooks_of(functions: Sequence[Any]) -> dict[str, Callable[..., Any]]:
    return {
        f.__name__: f
        for f in functions
        if inspect.iscoroutinefunction(f) and not isinstance(f, WorkflowDef)
    }

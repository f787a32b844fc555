"""HotMesh: the one object that applications hold.

It opens, wires and closes; each call below is a few lines over the parts.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from hotmesh import connect
from hotmesh.compiler import compile_model, difference
from hotmesh.connect import Connection
from hotmesh.core import Limits
from hotmesh.core.state import STATUS, UPDATED
from hotmesh.durations import Duration, parse
from hotmesh.engine import Engine, EngineComponent, arm, hook_all
from hotmesh.errors import (
    FormatUnknown,
    HotMeshError,
    JobEnded,
    JobNotFound,
    JobTimeout,
    NameInvalid,
    SettingsInvalid,
)
from hotmesh.ids import check_app_id, check_job_id, check_topic, escape, guid
from hotmesh.lifecycle import Component, Host
from hotmesh.log import get_logger
from hotmesh.mesh.fleet import QuorumHandler, QuorumMessage, QuorumSubscription, tell
from hotmesh.mesh.fused import Fused
from hotmesh.mesh.options import (
    DeployResult,
    HookAllResult,
    PlanResult,
    Settings,
    Source,
    Worker,
)
from hotmesh.mesh.output import JobOutput, error_of, output_of
from hotmesh.mesh.results import Results
from hotmesh.mesh.subscriptions import OutputHandler, OutputSubscription
from hotmesh.mesh.timeline import Timeline, timeline_of, timeline_of_run, waiting_of
from hotmesh.messages import Interrupt, SendAll, Signal, Status, StreamResult, encode_entry
from hotmesh.payload import decode, encode
from hotmesh.quorum import Activation, Member, Profile, Quorum, Served, Throttle, orders, roll_call
from hotmesh.quorum.throttle import throttles
from hotmesh.release import RELEASE
from hotmesh.router import Router, RouterSettings
from hotmesh.router.member import consumer_name
from hotmesh.store import Keys, Plans, Store, partitions_of
from hotmesh.store.runs import RUN, Runs
from hotmesh.store.search import get_ids, get_stats
from hotmesh.telemetry import Observer, spans
from hotmesh.telemetry.metrics import instruments
from hotmesh.worker import CODES, Remote, WorkerComponent, reply_of

log = get_logger("hotmesh.mesh")

PUBSUB_TIMEOUT_S = 60.0

_DIMENSION = re.compile(r"(?:,\d{1,6})+", re.ASCII)

_live: weakref.WeakSet[HotMesh] = weakref.WeakSet()


class HotMesh:
    """A point of presence in the mesh of one app: a client, and as the case may be an engine and
    workers.

    Made by `HotMesh.init` or `HotMesh.session`; closed by `stop`.
    """

    def __init__(self, connection: Connection, store: Store, settings: Settings) -> None:
        """Used by `init`; everything must be open."""
        self._guid = guid()
        self._connection, self._store, self._settings = connection, store, settings
        self._metrics = instruments()
        self._plans = Plans(store)
        self._engine = Engine(
            store,
            self._plans,
            Observer(store.keys.app_id, self._metrics, store.clock.now_ms),
            Limits(
                settings.steps_max,
                settings.payload_bytes_max,
                len(store.keys.partitions),
                parse(settings.trace_split),
            ),
            backlog_max=settings.backlog_max,
        )
        self._results = Results(connection, store, self._guid)
        self._subscriptions: list[OutputSubscription | QuorumSubscription] = []
        self._topics: tuple[str, ...] = ()
        self.store = store  # for tools
        self.host = Host([])
        self._stopped = False

    # -- opening and closing

    @classmethod
    async def init(
        cls,
        app_id: str,
        redis: connect.Source | Connection = None,
        *,
        engine: bool = True,
        workers: Sequence[Worker] = (),
        quorum: bool = False,
        lease: Duration = "30s",
        namespace: str = "hm",
        partitions: int | None = None,
        settings: Settings | None = None,
    ) -> HotMesh:
        """Connect, and start what this process contributes.

        Args:
            app_id: Letters, digits and dashes; the `app.id` of the models.
            redis: A URL, a `redis.asyncio` client or pool, or None for `HOTMESH_REDIS_URL` or the
                embedded server.
            engine: Whether this process decides transitions. Clients and workers need none, if
                some other process has one.
            workers: Functions linked to topics.
            quorum: Whether this process watches the fleet and keeps house.
            lease: How long this process may be silent before what it holds goes to another.
            namespace: Prefix of all keys.
            partitions: Fixed when the app is first used; None takes what it has.
            settings: Limits.

        Raises:
            ServerUnavailable, ServerUnsuitable, ConnectionInvalid: There is no server to work on.
            NameInvalid, SettingsInvalid: An argument is wrong.
        """
        check_app_id(app_id)
        if check_app_id(namespace) == app_id:
            raise NameInvalid(f"app id {app_id!r} is the namespace; take another")
        settings = settings or Settings()
        connection = await connect.open(redis, role="mesh")
        try:
            mesh = await cls._open(connection, app_id, namespace, partitions, settings)
            try:
                await mesh._start(engine, workers, parse(lease), quorum=quorum)
            except BaseException:
                await mesh.host.kill()
                raise
        except BaseException:
            await connection.close()
            raise
        _live.add(mesh)
        return mesh

    @classmethod
    @asynccontextmanager
    async def session(
        cls,
        app_id: str,
        redis: connect.Source | Connection = None,
        *,
        engine: bool = True,
        workers: Sequence[Worker] = (),
        quorum: bool = False,
        lease: Duration = "30s",
        namespace: str = "hm",
        partitions: int | None = None,
        settings: Settings | None = None,
    ) -> AsyncIterator[HotMesh]:
        """`init` and `stop` as a context; the arguments are those of `init`."""
        mesh = await cls.init(
            app_id,
            redis,
            engine=engine,
            workers=workers,
            quorum=quorum,
            lease=lease,
            namespace=namespace,
            partitions=partitions,
            settings=settings,
        )
        try:
            yield mesh
        finally:
            await mesh.stop()

    @classmethod
    async def _open(
        cls,
        connection: Connection,
        app_id: str,
        namespace: str,
        partitions: int | None,
        settings: Settings,
    ) -> HotMesh:
        facts = await connect.check(connection.transport, allow_eviction=settings.allow_eviction)
        for warning in facts.warnings:
            log.warning("server.doubtful", warning=warning)
        app_key = Keys(namespace, app_id).app
        count = await partitions_of(connection.transport, app_key, partitions)
        store = Store(connection.transport, Keys(namespace, app_id, count))
        await store.open()
        return cls(connection, store, settings)

    async def _start(
        self, engine: bool, workers: Sequence[Worker], lease_ms: int, *, quorum: bool
    ) -> None:
        if lease_ms < 500:
            raise SettingsInvalid(f"lease must be at least 500ms, not {lease_ms}ms")
        for worker in workers:
            if not isinstance(worker, Worker):
                raise SettingsInvalid(
                    f"workers= takes Worker objects, not {type(worker).__name__}; "
                    "write workers=[Worker('topic', function)]"
                )
        topics = [check_topic(w.topic) for w in workers]
        if len(set(topics)) < len(topics):
            raise SettingsInvalid(
                "two workers of one process have the same topic; raise concurrency instead"
            )
        self._topics = tuple(topics)
        base: list[Component] = [self._results]
        reading: list[Component] = []
        fused = Fused(self._engine) if engine else None
        if fused is not None:
            base.append(fused)
            reading.append(self._engine_component(lease_ms))
        settle = fused or Remote(self._store)
        reading += [self._worker_component(w, settle, lease_ms) for w in workers]
        if quorum:
            reading.append(Quorum(self._store, self._plans))
        if reading:
            roles = (
                *(("engine",) if engine else ()),
                *(f"worker:{topic}" for topic in topics),
                *(("quorum",) if quorum else ()),
            )
            served = _served(reading)
            base.append(self._member(roles, lambda: served))
        self.host = Host([base, reading])
        await self.host.start()

    def _engine_component(self, lease_ms: int) -> EngineComponent:
        batch = self._settings.engine_batch
        settings = RouterSettings(
            capacity=batch,
            batch_max=batch,
            lease_ms=lease_ms,
            deliveries_max=self._settings.deliveries_max,
        )
        return EngineComponent(
            self._connection,
            self._store,
            self._engine,
            settings,
            self._metrics,
            versions_kept=self._settings.versions_kept,
        )

    def _worker_component(self, worker: Worker, settle: Any, lease_ms: int) -> WorkerComponent:
        settings = RouterSettings(
            capacity=worker.concurrency,
            lease_ms=parse(worker.lease) if worker.lease is not None else lease_ms,
            deliveries_max=self._settings.deliveries_max,
        )
        return WorkerComponent(
            self._connection,
            self._store,
            worker.topic,
            worker.handler,
            settings,
            self._metrics,
            settle,
            retry=(worker.retry.rule(),) if worker.retry else (),
            grace_s=parse(self._settings.grace) / 1000,
            payload_bytes_max=self._settings.payload_bytes_max,
        )

    def _member(self, roles: tuple[str, ...], serves: Callable[[], Sequence[Served]]) -> Member:
        return Member(
            self._connection,
            self._store,
            self._plans,
            guid=self._guid,
            roles=roles,
            release=RELEASE,
            consumer=consumer_name(),
            serves=serves,
        )

    async def stop(self) -> None:
        """Drain and close.

        Handlers may run on for `grace`; what they do not finish goes to others. May be called
        twice.
        """
        if self._stopped:
            return
        self._stopped = True
        _live.discard(self)
        try:
            for subscription in self._subscriptions:
                await subscription.unsubscribe()
            await self.host.stop()
        finally:
            await self._connection.close()

    @staticmethod
    async def stop_all() -> None:
        """Stop every mesh of this process."""
        await asyncio.gather(*(mesh.stop() for mesh in list(_live)))

    @staticmethod
    def guid() -> str:
        """A new random id, for jobs and the like."""
        return guid()

    # -- versions

    async def deploy(self, source: Source) -> DeployResult:
        """Compile a model and store it under its version. Nothing runs on it before `activate`.

        Args:
            source: A path, YAML text or a dict.

        Raises:
            ModelInvalid: Every fault of the model, each with file, line and path. Nothing is
            stored.
            VersionSealed: The version has been active with another model.
        """
        compiled = compile_model(source, app_id=self._store.keys.app_id)
        deployed = await self._plans.deploy(compiled.plan)
        warnings = tuple(str(f) for f in compiled.warnings)
        return DeployResult(version=deployed.version, changed=deployed.changed, warnings=warnings)

    async def plan(self, source: Source) -> PlanResult:
        """What deploying a model would change. Nothing is stored.

        Raises:
            ModelInvalid: The model is wrong.
        """
        compiled = compile_model(source, app_id=self._store.keys.app_id)
        active = await self._active_version()
        before = await self._plans.plan(active) if active is not None else None
        change = difference(before, compiled.plan)
        clash = await self._plans.is_taken(compiled.plan)
        return PlanResult(
            version=compiled.plan.version,
            active=active,
            hot=not clash,
            reason="this version has been active with another model; give this model a new one"
            if clash
            else "",
            added=change.added,
            removed=change.removed,
            changed=change.changed,
            warnings=tuple(str(f) for f in compiled.warnings),
        )

    async def activate(self, version: str, *, timeout: Duration = "5s") -> bool:
        """Have all new jobs start on a version; jobs in flight end on theirs.

        Returns:
            True, once the whole fleet has switched.

        Raises:
            VersionNotFound: It was never deployed.
            ActivationFailed: A member can't run it or does not answer; nothing has changed.
        """
        activation = Activation(self._connection, self._store, self._plans)
        await activation.activate(str(version), timeout_s=parse(timeout) / 1000)
        try:
            await arm(self._engine, await self._plans.program(str(version)))
        except FormatUnknown as exc:  # of a newer release than this client's: its engines can
            log.warning("cron.not_armed", version=version, error=str(exc))
        return True

    async def _active_version(self) -> str | None:
        version = await self._store.transport.execute("GET", self._store.keys.partitions[0].version)
        return version.decode() if version is not None else None

    # -- jobs

    async def pub(
        self,
        topic: str,
        data: Any = None,
        *,
        context: dict[str, Any] | None = None,
        job_id: str | None = None,
        expire: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Start a job.

        Args:
            topic: What the graph subscribes to.
            data: The payload.
            context: `{"metadata": {"trc": …, "spn": …}}` joins a trace.
            job_id: Its id, unless the model maps one.
            expire: How long the record is kept after the end; the graph's when None.
            idempotency_key: A repeated call with the same key finds the job that the first one
                started.

        Returns:
            The job's id. When this returns, the job is on its way and survives everything.

        Raises:
            TopicNotFound, AppNotFound: There is nothing to start.
            PayloadInvalid, PayloadTooLarge, MappingError: The payload is refused.
            DuplicateJob: The id is taken.
            Overloaded: Workers are too far behind.
            ServerUnavailable: The server can't be reached; with `job_id` or `idempotency_key` a
            repeated call is safe.
        """
        jid, _ = await self._begin(topic, data, context, job_id, expire, idempotency_key, caller="")
        return jid

    async def pubsub(
        self,
        topic: str,
        data: Any = None,
        *,
        context: dict[str, Any] | None = None,
        job_id: str | None = None,
        expire: Duration | None = None,
        idempotency_key: str | None = None,
        timeout: Duration | None = PUBSUB_TIMEOUT_S,
    ) -> JobOutput:
        """Start a job and wait for its end.

        Args:
            timeout: How long to wait; None for ever. The other arguments are those of `pub`.

        Raises:
            JobError: The job failed; `code`, `message` and `job_id` say how.
            JobTimeout: It has not ended in time. It goes on; `get_state` finds its result later.
        """
        await self._results.open()
        jid, look = await self._begin(
            topic, data, context, job_id, expire, idempotency_key, caller=self._guid
        )
        return await self._result(jid, timeout, look=look)

    async def _result(self, jid: str, timeout: Duration | None, *, look: bool) -> JobOutput:
        timeout_s = None if timeout is None else parse(timeout) / 1000
        try:
            job = await self._results.wait(jid, timeout_s, look=look)
        except JobTimeout as exc:
            raise JobTimeout(
                job_id=jid, timeout_s=exc.timeout_s, waiting=await self._waiting(jid)
            ) from None
        if error := error_of(job):
            raise error
        return output_of(job)

    async def _waiting(self, jid: str) -> tuple[str, ...]:
        """What a job waits for, in words, for the message of a timeout."""
        try:
            job = (await self._store.load([(jid, None)]))[0]
            if job is None:
                return ()
            return waiting_of(job, await self._plans.program(job.meta.version))
        except HotMeshError:
            return ()  # the timeout is what the caller must hear of

    async def _begin(
        self,
        topic: str,
        data: Any,
        context: dict[str, Any] | None,
        job_id: str | None,
        expire: Duration | None,
        idempotency_key: str | None,
        *,
        caller: str,
    ) -> tuple[str, bool]:
        with spans.sending(topic, self._store.keys.app_id, _trace_of(context)) as trace:
            return await self._engine.start(
                topic,
                {} if data is None else data,
                job_id=None if job_id is None else check_job_id(job_id),
                request=idempotency_key or "",
                caller=caller,
                trace=trace,
                expire_ms=-1 if expire is None else parse(expire),
            )

    async def sub(
        self, topic: str, handler: OutputHandler, *, once: bool = False
    ) -> OutputSubscription:
        """Call `handler(topic, output)` with results that are published under `topic`.

        Args:
            topic: What a graph `publishes`: the results of all its jobs; with a dot and a job id,
                of that one.
            handler: Async or plain. Its exceptions are logged.
            once: End with the first job that has ended; what is published while it runs comes
                before that.
        """
        name = self._store.keys.published(escape(topic))
        return await self._subscribe(handler, once, channels=[name], patterns=[f"{name}.*"])

    async def psub(
        self, pattern: str, handler: OutputHandler, *, once: bool = False
    ) -> OutputSubscription:
        """The same with a pattern: `abc.done.*` is every job's result of `abc.done`."""
        where = self._store.keys.published(pattern)
        return await self._subscribe(handler, once, patterns=[where])

    async def _subscribe(
        self, handler: OutputHandler, once: bool, **where: Sequence[str]
    ) -> OutputSubscription:
        subscription = OutputSubscription(self._store, handler, once=once)
        self._subscriptions.append(subscription)
        await subscription.open(self._connection, **where)
        return subscription

    async def add(self, result: StreamResult) -> str:
        """A further or late answer of a worker that said `pending` (or gave none).

        Args:
            result: Its `metadata` is that of the call.

        Returns:
            The id of the entry that carries it. An answer to a closed activity changes nothing.
        """
        if result.metadata is None:
            raise SettingsInvalid("add() needs metadata=msg.metadata of the call that is answered")
        if not _DIMENSION.fullmatch(result.metadata.dad):
            raise SettingsInvalid(
                "add() needs the metadata of the call as it came; its dad is no dimension"
            )
        bytes_max = self._settings.payload_bytes_max
        reply = reply_of(result, result.metadata, result.guid, result.metadata.try_count, bytes_max)
        stream = self._store.keys.of(reply.jid).engine
        entry = await self._store.transport.execute("XADD", stream, "*", "p", encode_entry(reply))
        return str(entry, "ascii")

    async def hook(
        self,
        topic: str,
        data: Any = None,
        *,
        status: Status = "success",
        code: int | None = None,
        idempotency_key: str | None = None,
    ) -> str:
        """Signal one waiting activity: the one that has waited longest for this topic and key.

        Args:
            topic: A topic of the model's `hooks`; the rule finds the key in `data`.
            status: `pending` keeps the hook open for more signals, `error` fails it.
            code: What its transitions see; 200, 202 or 500 by status.
            idempotency_key: A repeated call with the same key does nothing.

        Returns:
            The signal's id. A signal that comes before its hook waits for it, for as long as the
            model says.

        Raises:
            HookNotFound: No graph of the active version has a rule for the topic.
            MappingError: The payload lacks the key.
            Overloaded: Too many early signals wait already.
        """
        data = {} if data is None else data
        bytes_max = self._settings.payload_bytes_max
        raw = encode(data, what=f"the signal of topic {topic!r}", bytes_max=bytes_max)
        rid = idempotency_key or guid()
        signal = Signal(status, CODES[status] if code is None else code, raw, rid, spans.current())
        program = await self._plans.active(refresh=True)
        await self._engine.signal(program, topic, decode(raw), signal)
        return rid

    async def hook_all(
        self,
        topic: str,
        data: Any = None,
        query: dict[str, Any] | None = None,
        facets: Sequence[str] = (),
        *,
        scrub: bool = False,
    ) -> HookAllResult:
        """Signal every job that an index resolves.

        Args:
            topic: A hook topic; its rule must find the job's id under `id`.
            query: `{"data": …}` resolves the job key, as a payload would; `range`, `start`, `end`
                choose slots.
            facets: Indexes to take, as `path:value`; none: all that were counted.
            scrub: Forget the indexes afterwards.

        Raises:
            HookNotFound: No graph has a rule for the topic.
        """
        bytes_max = self._settings.payload_bytes_max
        data = {} if data is None else data
        raw = encode(data, what=f"the signal of topic {topic!r}", bytes_max=bytes_max)
        signal = Signal("success", 200, raw, guid(), spans.current())
        asked = {**(query or {}), **({"scrub": True} if scrub else {})}
        program = await self._plans.active(refresh=True)
        order = SendAll(
            "",
            program.version,
            topic,
            signal,
            encode(asked, what="a query", bytes_max=bytes_max),
            tuple(facets),
        )
        indexes, job_ids = await hook_all(self._engine, program, order)
        return HookAllResult(indexes=tuple(indexes), job_ids=tuple(job_ids))

    async def get_stats(self, topic: str, query: dict[str, Any]) -> dict[str, Any]:
        """What a topic's trigger measured, by job key and time slots.

        Args:
            query: `{"data": …}` resolves the job key; two of `start`, `end` (ISO times or `NOW`)
                and `range` (`15m`, `1h`, `1d`) choose the slots, none when the granularity is
                `infinity`; `sparse` leaves the segments out.

        Raises:
            TopicNotFound, QueryInvalid
        """
        program = await self._plans.active(refresh=True)
        return await get_stats(self._store, program, topic, query, self._engine.env())

    async def get_ids(
        self, topic: str, query: dict[str, Any], facets: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Ids of the jobs in an index, by time slots; `query` as in `get_stats`.

        Args:
            facets: As `path:value`; none: all that were counted.
        """
        program = await self._plans.active(refresh=True)
        return await get_ids(self._store, program, topic, query, facets, self._engine.env())

    async def interrupt(
        self,
        topic: str,
        job_id: str,
        *,
        reason: str = "",
        descend: bool = False,
        throw: bool = True,
        suppress: bool = False,
        expire: Duration = "1s",
        code: int = 410,
        after: Duration | None = None,
    ) -> None:
        """End a running job, now or later. What its workers still do is dropped.

        Args:
            topic: The job's topic.
            reason: The message of its error.
            descend: End its dependants too.
            throw: Give it an error of this `code`; without, callers get the data so far.
            suppress: Say nothing when there is no such job, or it has ended.
            expire: How long the record is kept.
            after: How long the job may still run, by the server's clock; nothing happens to one
                that has ended by then.

        Raises:
            JobNotFound, JobEnded
            Overloaded: It has a hundred delayed interrupts already.
        """
        after_ms = 0 if after is None else parse(after)
        event = Interrupt(
            job_id,
            "",
            reason,
            throw,
            code,
            parse(expire),
            descend,
            after_ms=after_ms,
            rid=guid() if after_ms else "",
        )
        try:
            await self._engine.interrupt(event, topic=topic)
        except (JobNotFound, JobEnded):
            if not suppress:
                raise

    # -- reading

    async def get_state(self, topic: str, job_id: str) -> JobOutput:
        """A job's data and metadata, running or done.

        Raises:
            JobNotFound: There is none of that id under that topic.
        """
        job = (await self._store.load([(job_id, ("u",))]))[0]
        if job is None:
            raise JobNotFound(job_id)
        if job.meta.topic != topic:
            raise JobNotFound(job_id, topic=topic, found=job.meta.topic)
        return output_of(job)

    async def result(
        self,
        topic: str,
        job_id: str,
        *,
        timeout: Duration | None = PUBSUB_TIMEOUT_S,
    ) -> JobOutput:
        """Wait for the end of a job that was started elsewhere; `pubsub` is this with a start.

        Raises:
            JobNotFound, JobError, JobTimeout
        """
        await self.get_state(topic, job_id)
        return await self._result(job_id, timeout, look=True)

    async def get_status(self, job_id: str) -> int:
        """Open activities of a job; 0 when it is done, negative when it was interrupted.

        Raises:
            JobNotFound
        """
        job = (await self._store.load([(job_id, ())]))[0]
        if job is None:
            raise JobNotFound(job_id)
        return job.status

    async def get_query_state(self, job_id: str, fields: Sequence[str]) -> dict[str, Any]:
        """Some fields of a job's data; None for one that is not there, and all of them for a job
        that is not.
        """
        job = (await self._store.load([(job_id, ())]))[0]
        return {name: job.data.get(name) if job is not None else None for name in fields}

    async def export(self, job_id: str) -> Timeline:
        """A run as a timeline: activities, legs, dimensions, times, attempts, edges.

        Raises:
            JobNotFound
        """
        runs = Runs(self._store)
        run_id = (await runs.fields(job_id, [RUN]))[0]
        if run_id is not None:
            return await self._export_run(runs, job_id, run_id.decode())
        job = (await self._store.load([(job_id, None)]))[0]
        if job is None:
            raise JobNotFound(job_id)
        return timeline_of(job, await self._plans.program(job.meta.version))

    async def _export_run(self, runs: Runs, job_id: str, run_id: str) -> Timeline:
        """A durable run is a job too; its history is what happened to it."""
        record = await runs.record(job_id, run_id)
        items = await runs.history(job_id, run_id)
        if not record or not items:
            raise JobNotFound(job_id)
        fields = {n[1:]: v.decode() for n, v in record.items() if n.startswith("_")}
        status, updated_ms = int(record[STATUS]), int(record[UPDATED])
        return timeline_of_run(job_id, status, updated_ms, fields, items)

    async def scrub(self, job_id: str) -> None:
        """Delete a job's record, running or done, and what it waits for. Answers that still come
        change nothing.

        Raises:
            JobNotFound
        """
        await self._engine.scrub(job_id)

    # -- the fleet

    async def roll_call(self, *, timeout: Duration = "1s") -> list[Profile]:
        """Who is there: every engine and worker as it is now, with its streams.

        Args:
            timeout: How long members may take to answer; 0 takes what they told last, at most
                3 s ago. A silent member stands there as it told last.
        """
        return await roll_call(self._connection, self._store, timeout_s=parse(timeout) / 1000)

    async def throttle(
        self, ms: int, topic: str | None = None, guid: str | None = None, *, reason: str = ""
    ) -> bool:
        """Slow down, pause or release the fleet, the workers of a topic, or one member.

        Kept on the server until it is lifted, so restarts change nothing. The strictest that
        concerns a member applies; one for the whole fleet replaces every other.

        Args:
            ms: How long each entry makes the next one wait, in every process; -1 pauses, 0 lifts.
            topic: Only the workers of this topic.
            guid: Only this member.
            reason: Shown to who looks.

        Returns:
            Whether every member that is there has confirmed. A silent one reads it later.

        Raises:
            SettingsInvalid, NameInvalid: An argument is wrong.
            MemberNotFound: There is no such member.
        """
        connection, store = self._connection, self._store
        left = await orders.throttle(connection, store, ms, topic=topic, guid=guid, why=reason)
        return not left

    async def throttles(self) -> dict[str, Throttle]:
        """The throttles in force, by scope: `*`, `topic:<topic>` or `member:<guid>`."""
        return await throttles(self._store)

    async def drain(self, guid: str, *, timeout: Duration = "60s") -> Profile:
        """Have a member take nothing more, and wait until its hands are empty: it finishes, or
        hands back after its `grace`. Its process stays, idle, until it is stopped.

        Args:
            guid: Of the member, or its beginning, or the name of its host.

        Raises:
            MemberNotFound, MemberAmbiguous
            DrainTimeout: It holds entries yet; it goes on draining.
        """
        timeout_s = parse(timeout) / 1000
        return await orders.drain(self._connection, self._store, guid, timeout_s=timeout_s)

    async def pub_quorum(
        self, kind: str, data: Any = None, *, topic: str | None = None, guid: str | None = None
    ) -> int:
        """Tell the other members something: a hint of at most 1 KB that nobody keeps.

        Args:
            kind: What it is about.
            topic: Only for members that serve this topic.
            guid: Only for this member.

        Returns:
            How many connections the server gave it to.

        Raises:
            PayloadInvalid, PayloadTooLarge
        """
        message = QuorumMessage(
            kind=kind, data=data, topic=topic or "", guid=guid or "", sender=self._guid
        )
        return await tell(self._store, message)

    async def sub_quorum(self, handler: QuorumHandler) -> QuorumSubscription:
        """Call `handler(message)` with what members tell this one; async or plain."""
        subscription = QuorumSubscription(self._guid, self._topics, handler)
        self._subscriptions.append(subscription)
        await subscription.open(self._connection, self._store.keys.talk)
        return subscription


def _served(components: Sequence[Component]) -> list[Served]:
    """The routers of components, as the fleet sees them."""
    found = []
    for component in components:
        router = getattr(component, "router", None)
        if isinstance(router, Router):
            topic = getattr(component, "topic", "")
            is_named = not isinstance(component, (EngineComponent, WorkerComponent))
            found.append(Served(component.name, topic, router, component.drain, is_named))
    return found


def _trace_of(context: dict[str, Any] | None) -> str:
    """The traceparent that a caller's context names, or ""."""
    metadata = (context or {}).get("metadata") or {}
    trace, span = metadata.get("trc"), metadata.get("spn")
    if not trace:
        return ""
    return f"00-{trace}-{span or '0' * 16}-{metadata.get('flags') or '01'}"

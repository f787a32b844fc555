"""The client: start workflows, find them, and say something to them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import msgspec
from msgspec import Raw

from hotmesh.connect import Connection, Source, Subscription
from hotmesh.core.durable import records as r
from hotmesh.core.durable.ledger import is_attribute_name
from hotmesh.durable import payloads
from hotmesh.durable.activity import signature_of
from hotmesh.durable.codec import PayloadCodec
from hotmesh.durable.definition import MARK, WorkflowOptions, name_of
from hotmesh.durable.errors import (
    WorkflowAlreadyStarted,
    WorkflowNotFound,
)
from hotmesh.durable.handle import WorkflowHandle
from hotmesh.durable.interceptors import Call, ClientInterceptor, Interceptor, chain_of
from hotmesh.durable.options import Conflict, RetryPolicy, Reuse, StartKeywords, workflow_rules
from hotmesh.durable.point import Point, open_point
from hotmesh.durable.schedules import ScheduleClient, check_cron
from hotmesh.durations import Duration, parse
from hotmesh.engine.runs import lay_out
from hotmesh.errors import HotMeshError, NameInvalid, Overloaded, SettingsInvalid
from hotmesh.ids import check_topic, guid
from hotmesh.lifecycle import Host
from hotmesh.mapping import next_match_ms
from hotmesh.mesh.results import Results
from hotmesh.run_messages import NIL
from hotmesh.store import Apply, Verdict, retrying
from hotmesh.store.run_ops import RENDEZVOUS
from hotmesh.store.runs import FIRST, NEXT, RUN, STATE, RunCommand
from hotmesh.telemetry import spans

if TYPE_CHECKING:
    from hotmesh.durable.completing import ActivityHandle
    from hotmesh.durable.listing import WorkflowDescription

R = TypeVar("R")

KEEP: Duration = "24h"
WORKFLOW_ID_BYTES_MAX = 1_000
TRIES_MAX = 5


class _Open(Point):
    """A point with what a client needs beside it."""

    results: Results
    host: Host


class Client:
    """Starts and finds workflows of one namespace. It connects when it is first used.

    Args:
        redis: As everywhere; None for `HOTMESH_REDIS_URL` or the embedded server.
        namespace: Workflows of different namespaces know nothing of each other.
        partitions: Fixed when the namespace is first used; None takes what it has.
        codecs: Encode what goes to the server, such as for encryption; workers need the same.
        interceptors: Around what this client sends; the first is the outermost.
    """

    def __init__(
        self,
        redis: Source | Connection = None,
        namespace: str = "durable",
        *,
        partitions: int | None = None,
        codecs: Sequence[PayloadCodec] = (),
        interceptors: Sequence[Interceptor] = (),
    ) -> None:
        self._codecs = tuple(codecs)
        self.interceptors = chain_of(ClientInterceptor, interceptors)
        self.namespace = namespace
        self.guid = guid()
        self.workflow = WorkflowClient(self)
        self.schedule = ScheduleClient(self)
        self._redis, self._partitions = redis, partitions
        self._open: _Open | None = None
        self._opening = asyncio.Lock()
        self._listeners: dict[str, set[asyncio.Event]] = {}
        self._subscription: Subscription | None = None

    async def open(self) -> _Open:
        """Connect, unless that has been done."""
        if self._open is not None:
            return self._open
        async with self._opening:
            if self._open is None:
                self._open = await self._connect()
        return self._open

    async def _connect(self) -> _Open:
        point = await open_point(
            self._redis, self.namespace, self._partitions, "durable-client", self._codecs
        )
        opened = _Open.__new__(_Open)
        opened.__dict__.update(point.__dict__)
        opened.results = Results(point.connection, point.store, self.guid)
        opened.host = Host([[opened.results]])
        try:
            await opened.host.start()
            await opened.results.open()
            channel = point.store.keys.caller(self.guid)
            self._subscription = await point.connection.bus.subscribe(channel, self._hint)
        except BaseException:
            await point.close()
            raise
        return opened

    async def close(self) -> None:
        """Close the connection; workflows go on. May be called twice."""
        opened, self._open = self._open, None
        if opened is None:
            return
        if self._subscription is not None:
            await self._subscription.unsubscribe()
        await opened.host.stop()
        await opened.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def activity(self, token: bytes) -> ActivityHandle:
        """The attempt at an activity that said `complete_later`. Nothing is looked up.

        Args:
            token: Its `activity.info().task_token`.

        Raises:
            NameInvalid: That is no token.
        """
        from hotmesh.durable.completing import ActivityHandle

        return ActivityHandle(self, token)

    # -- for handles

    def listen(self, jid: str) -> asyncio.Event:
        """An event that is set when something of a workflow may have changed."""
        event = asyncio.Event()
        self._listeners.setdefault(jid, set()).add(event)
        return event

    def unlisten(self, jid: str, event: asyncio.Event) -> None:
        """Forget it."""
        events = self._listeners.get(jid, set())
        events.discard(event)
        if not events:
            self._listeners.pop(jid, None)

    def _hint(self, channel: bytes, payload: bytes) -> None:
        for event in self._listeners.get(payload.decode(errors="replace"), ()):
            event.set()

    async def outcome(self, jid: str, run_id: str) -> dict[str, bytes] | None:
        """The record of an earlier run whose id another has taken over; None when the run, or one
        that it continued as, has the id still.
        """
        opened = await self.open()
        names = [RUN, FIRST]
        current, first = await opened.runs.fields(jid, names)
        if current == run_id.encode() or first == run_id.encode():
            return None
        record = await opened.runs.record(jid, run_id)
        while record and record[STATE] == b"continued":
            following = record.get(NEXT, b"").decode()
            if following == (current or b"").decode():
                return None
            record = await opened.runs.record(jid, following)
        return record or None

    async def pack(self, data: Raw) -> Raw:
        """A payload as it is stored."""
        coder = (await self.open()).coder
        return data if coder is None else (await coder.seal([data]))[0]

    async def pack_headers(self, headers: dict[str, Any]) -> dict[str, Raw]:
        """Headers as they are stored."""
        return {k: await self.pack(payloads.encode(v, f"header {k!r}")) for k, v in headers.items()}

    async def through(self, method: str, call: Call, last: Callable[[Call], Any]) -> Any:
        """Do something through the interceptors, if there are any."""
        chain = self.interceptors
        return await (last(call) if chain is None else chain(method, call, last))

    async def unpack(self, data: bytes | Raw) -> bytes | Raw:
        """A payload as it was given."""
        coder = (await self.open()).coder
        return data if coder is None else (await coder.open([Raw(data)]))[0]

    async def unpack_failure(self, failure: r.Failure) -> r.Failure:
        """A failure as it was given."""
        coder = (await self.open()).coder
        return failure if coder is None else (await coder.open([failure]))[0]


class WorkflowClient:
    """`client.workflow`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @overload
    async def start(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        *positional: Any,
        **options: Unpack[StartKeywords],
    ) -> WorkflowHandle[R]: ...
    @overload
    async def start(
        self, workflow: type | str, *positional: Any, **options: Unpack[StartKeywords]
    ) -> WorkflowHandle[Any]: ...
    async def start(
        self,
        workflow: Any,
        *positional: Any,
        args: Sequence[Any] | None = None,
        task_queue: str | None = None,
        workflow_id: str | None = None,
        conflict: Conflict = "fail",
        reuse: Reuse = "allow",
        request_id: str | None = None,
        retry: RetryPolicy | None = None,
        run_timeout: Duration | None = None,
        execution_timeout: Duration | None = None,
        start_delay: Duration | None = None,
        cron: str = "",
        expire: Duration | None = KEEP,
        fields: dict[str, Any] | None = None,
        search_attributes: dict[str, Any] | None = None,
        memo: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        signal: tuple[Any, ...] | None = None,
    ) -> WorkflowHandle[Any]:
        """Start a workflow; returns once it is recorded, whether or not a worker is there.

        Args:
            workflow: Its function, class or name.
            args: Its arguments; or give them by position.
            task_queue: `default`, unless the workflow's definition says otherwise.
            workflow_id: A new one by default.
            conflict: What to do when an open run has the id.
            reuse: Whether the id of a closed run, as long as its record is kept, may be used.
            request_id: Starts with the same one are one start.
            retry: A failed run is followed by another.
            run_timeout, execution_timeout: Limits of one run, and of all that follow one another.
            start_delay: The code begins later.
            cron: It begins at the next match (UTC), and each run that ends or fails is followed by
                another at the match after; `workflow.info().last_result` is what the last one gave.
                Cancel or terminate it to end that. `client.schedule` can do more.
            expire: How long the record is kept after the end; None for ever, 0 not at all.
            fields: What `search()` finds from the beginning.
            search_attributes: What `list` finds it by.
            signal: A name and data: delivered before the code begins, or to the open run.

        Raises:
            WorkflowAlreadyStarted: The id is taken.
            PayloadError: An argument can't be encoded.
        """
        chosen: dict[str, Any] = {
            "task_queue": task_queue,
            "conflict": conflict,
            "reuse": reuse,
            "request_id": request_id,
            "retry": retry,
            "run_timeout": run_timeout,
            "execution_timeout": execution_timeout,
            "start_delay": start_delay,
            "expire": expire,
            "fields": fields,
            "search_attributes": search_attributes,
            "memo": memo,
            "signal": signal,
            "cron": cron,
        }
        call = Call(
            name=name_of(workflow),
            args=tuple(positional if args is None else args),
            headers=dict(headers or {}),
            options=chosen,
            workflow_id=workflow_id or guid(),
        )
        chain = self._client.interceptors
        if chain is None:
            return await self._start(workflow, call)
        handle: WorkflowHandle[Any] = await chain(
            "start_workflow", call, partial(self._start, workflow)
        )
        return handle

    async def _start(self, workflow: Any, call: Call) -> WorkflowHandle[Any]:
        return await self._send_start(
            workflow, call.args, call.workflow_id, headers=call.headers, **call.options
        )

    async def _send_start(
        self,
        workflow: Any,
        given: Sequence[Any],
        workflow_id: str,
        *,
        headers: dict[str, Any],
        task_queue: str | None,
        conflict: Conflict,
        reuse: Reuse,
        request_id: str | None,
        retry: RetryPolicy | None,
        run_timeout: Duration | None,
        execution_timeout: Duration | None,
        start_delay: Duration | None,
        expire: Duration | None,
        fields: dict[str, Any] | None,
        search_attributes: dict[str, Any] | None,
        memo: dict[str, Any] | None,
        cron: str,
        signal: tuple[Any, ...] | None,
    ) -> WorkflowHandle[Any]:
        client = self._client
        opened = await client.open()
        kind = name_of(workflow)
        options: WorkflowOptions | None = getattr(workflow, MARK, None)
        jid = check_workflow_id(workflow_id)
        queue = task_queue or (options.task_queue if options else None) or "default"
        begin = r.Begin(
            kind,
            await client.pack(payloads.encode_args(given, f"workflow {kind!r}")),
            check_topic(queue),
            secrets.token_hex(16),
            secrets.randbits(63),
            run_ms=_ms(run_timeout),
            execution_ms=_ms(execution_timeout),
            keep_ms=-1 if expire is None else parse(expire),
            retry=workflow_rules(retry or (options.retry if options else None)),
            headers=await client.pack_headers(headers),
            memo=await client.pack(payloads.encode(memo, "the memo")) if memo else NIL,
            attributes=encode_attributes(search_attributes),
            trace=spans.current(),
            caller=client.guid,
            cron=check_cron(cron) if cron else "",
        )
        delay_ms = _ms(start_delay)
        if cron and start_delay is None:
            now_ms = opened.store.clock.now_ms()
            delay_ms = next_match_ms(cron, now_ms) - now_ms
        if signal is not None:
            sent = await self._sent(signal)
            begin = msgspec.structs.replace(begin, carried=(r.encode_input(sent),))
        decode = payloads.decode if isinstance(workflow, str) else signature_of(workflow).value
        with spans.sending(kind, client.namespace, begin.trace) as trace:
            begin = msgspec.structs.replace(begin, trace=trace)
            run_id = await self._started(
                opened, jid, begin, conflict, reuse, request_id, delay_ms, fields, signal
            )
        return WorkflowHandle(client, jid, run_id, decode)

    async def _started(
        self,
        opened: _Open,
        jid: str,
        begin: r.Begin,
        conflict: Conflict,
        reuse: Reuse,
        request_id: str | None,
        delay_ms: int,
        fields: dict[str, Any] | None,
        signal: tuple[Any, ...] | None,
    ) -> str:
        request = request_id or begin.run_id
        archived = ""
        for _ in range(TRIES_MAX):
            command = _start_command(opened, jid, begin, request, reuse, archived, delay_ms, fields)
            started = await retrying(
                partial(opened.runs.start, command, begin.run_id), what="start"
            )
            if started.verdict in ("started", "repeated"):
                return started.run_id
            if started.verdict == "archive":
                archived = started.run_id
            elif started.verdict == "open" and signal is not None and conflict == "fail":
                return await self._signalled(jid, signal)
            elif started.verdict == "open" and conflict == "use_existing":
                return started.run_id
            elif started.verdict == "open" and conflict == "terminate_existing":
                await self._ended(jid)
            else:
                how = "is running" if started.verdict == "open" else "was used before"
                raise WorkflowAlreadyStarted(
                    f"workflow id {jid!r} {how} (run {started.run_id}); take another id, or see "
                    "conflict= and reuse=",
                    workflow_id=jid,
                    run_id=started.run_id,
                )
        raise Overloaded(f"workflow id {jid!r} changed hands {TRIES_MAX} times in a row")

    async def _signalled(self, jid: str, signal: tuple[Any, ...]) -> str:
        """The open run gets the signal; "" stands for a run that has ended since."""
        sent = await self._sent(signal)
        return await WorkflowHandle[Any](self._client, jid).add(sent, sent.rid)

    async def _ended(self, jid: str) -> None:
        try:
            await WorkflowHandle[Any](self._client, jid).terminate("replaced by another run")
        except WorkflowNotFound:
            pass  # it has ended by itself

    async def _sent(self, signal: tuple[Any, ...]) -> r.Sent:
        name, *data = signal
        args = await self._client.pack(payloads.encode_args(data, f"signal {name!r}"))
        return r.Sent(name, args, guid())

    @overload
    async def execute(
        self,
        workflow: Callable[..., Coroutine[Any, Any, R]],
        *positional: Any,
        **options: Unpack[StartKeywords],
    ) -> R: ...
    @overload
    async def execute(
        self, workflow: type | str, *positional: Any, **options: Unpack[StartKeywords]
    ) -> Any: ...
    async def execute(self, workflow: Any, *positional: Any, **options: Any) -> Any:
        """Start a workflow and wait for its result; the arguments are those of `start`."""
        return await (await self.start(workflow, *positional, **options)).result()

    async def signal_with_start(
        self, workflow: Any, *positional: Any, signal: tuple[Any, ...], **options: Any
    ) -> WorkflowHandle[Any]:
        """Send a signal to the open run of an id, or start one that has it from the beginning."""
        for _ in range(TRIES_MAX):
            try:
                return await self.start(workflow, *positional, signal=signal, **options)
            except WorkflowNotFound:
                continue  # it ended between our looking and our sending
        raise Overloaded("the workflow kept ending while it was signalled; try again")

    def get_handle(
        self, workflow_id: str, run_id: str = "", *, workflow: Any = None
    ) -> WorkflowHandle[Any]:
        """A handle by the id alone. Nothing is looked up.

        Args:
            workflow: Its function or class, so that its result is converted as annotated.
        """
        decode = payloads.decode
        if workflow is not None and not isinstance(workflow, str):
            decode = signature_of(workflow).value
        return WorkflowHandle(self._client, workflow_id, run_id, decode)

    async def signal(self, name: str, *data: Any) -> None:
        """Send a signal by its name alone, to the run that waits for it; kept for ten minutes when
        none does.
        """
        call = Call(name=name, args=data)
        await self._client.through("signal_workflow", call, self._send_signal)

    async def _send_signal(self, call: Call) -> None:
        name = call.name
        opened = await self._client.open()
        args = await self._client.pack(payloads.encode_args(call.args, f"signal {name!r}"))
        from hotmesh.core.signals import PENDING_MS, slot, telling
        from hotmesh.store.run_ops import signal_of

        effect = telling(RENDEZVOUS, name, signal_of(args, guid()), PENDING_MS)
        item = Apply(jid=slot(RENDEZVOUS, name), rev=0, effects=[effect])
        verdict = (await retrying(lambda: opened.store.apply([item]), what="signal"))[0]
        if verdict is Verdict.OVERLOADED:
            raise Overloaded(f"too many signals {name!r:.80} wait already")

    async def hook(self, fn: Any, *args: Any, workflow_id: str) -> None:
        """Run a function beside the main one of a running workflow."""
        await self.get_handle(workflow_id).hook(fn, *args)

    async def list(self, query: str = "", *, limit: int = 1_000) -> list[WorkflowDescription]:
        """Workflows that a query finds, the latest started first.

        Such as `status = 'running' and (customer = 'x' or total >= 100)`: fields are `status`,
        `workflow`, `workflow_id`, `run_id`, `task_queue`, `start_time`, `close_time` and search
        attributes; `= != < <= > >=`, `in (…)`, `between … and …`, `and`, `or`, `not`.

        Raises:
            SearchQueryError: The query can't be understood, or would look at too many records.
        """
        from hotmesh.durable.listing import find

        return await find(await self._client.open(), query, limit)

    async def count(self, query: str = "") -> int:
        """How many workflows a query finds. Raises as `list`."""
        from hotmesh.durable.listing import count

        return await count(await self._client.open(), query)

    async def reset(
        self, workflow_id: str, *, task: int, reason: str = "", signals: bool = True
    ) -> WorkflowHandle[Any]:
        """Go back to before a task and decide it again: a new run takes over what came before.

        Results of earlier steps are kept, later steps run again, and what was open is begun anew.
        The old run is terminated. `random()` and `uuid4()` give the new run what they gave the
        old; fields of `search()` keep what later steps have set.

        Args:
            task: The number of the `TASK` in its history, from 1.
            signals: Whether signals that came later are given to the new run.

        Raises:
            WorkflowNotFound: There is none.
            SettingsInvalid: It has no such task.
        """
        from hotmesh.durable.reset import reset

        opened = await self._client.open()
        run_id = await reset(opened, workflow_id, task, reason=reason, signals=signals)
        return WorkflowHandle(self._client, workflow_id, run_id)

    async def skip_step(self, workflow_id: str, seq: int, *, result: Any = None) -> None:
        """Complete an open activity, sleep or child by hand; history says so.

        Raises:
            WorkflowNotFound: There is no open run of this id.
            StepNotOpen: The step waits for nothing, or is being run at this moment.
        """
        from hotmesh.durable.reset import skip_step

        opened = await self._client.open()
        data = await self._client.pack(payloads.encode(result, f"the result of step {seq}"))
        await skip_step(opened, workflow_id, seq, data)

    async def resume(self, workflow_id: str) -> None:
        """Try a run whose code could not go on again at once, not after its delay.

        Raises:
            WorkflowNotFound: There is no open run of this id.
        """
        from hotmesh.durable.reset import resume

        await resume(await self._client.open(), workflow_id)

    async def delete(self, workflow_id: str) -> None:
        """Delete the record of an ended workflow at once.

        Raises:
            WorkflowNotFound: There is none.
            HotMeshError: It is running.
        """
        from hotmesh.durable.listing import delete

        await delete(await self._client.open(), workflow_id)


def _start_command(
    opened: Point,
    jid: str,
    begin: r.Begin,
    request: str,
    reuse: Reuse,
    archived: str,
    delay_ms: int,
    fields: dict[str, Any] | None,
) -> tuple[Any, ...]:
    from hotmesh.durable.search import write

    store = opened.store
    begin = msgspec.structs.replace(begin, at_ms=store.clock.now_ms())
    command = RunCommand(store, jid, begin.run_id)
    guard = opened.runs.start_guard(command, request=request, reuse=reuse, archived=archived)
    lay_out(command, begin, request, delay_ms=delay_ms)
    if fields:
        command.set({f"_{n}": write(v).encode() for n, v in fields.items()})
    return command.build(guard)


def check_workflow_id(workflow_id: str) -> str:
    """The id if it can be one.

    Raises:
        NameInvalid: Not text, empty, over 1,000 bytes of UTF-8, or with control characters or
            braces.
    """
    if not isinstance(workflow_id, str):
        raise NameInvalid(f"a workflow id is text, not {type(workflow_id).__name__}")
    try:
        size = len(workflow_id.encode())
    except UnicodeEncodeError as exc:
        raise NameInvalid("a workflow id holds characters that have no UTF-8 form") from exc
    if not 0 < size <= WORKFLOW_ID_BYTES_MAX:
        raise NameInvalid(f"a workflow id has 1 to {WORKFLOW_ID_BYTES_MAX} bytes, not {size}")
    if any(ord(c) < 32 or c in "{}" for c in workflow_id):
        raise NameInvalid(
            f"workflow id {workflow_id!r:.80} must hold no control characters and no braces"
        )
    return workflow_id


def encode_attributes(attributes: dict[str, Any] | None) -> Raw:
    """Search attributes as they travel.

    Raises:
        SettingsInvalid: A name can't be one.
    """
    if not attributes:
        return NIL
    for name in attributes:
        if not is_attribute_name(name):
            raise SettingsInvalid(
                f"search attribute {name!r:.80} must be 1 to 64 letters, digits and underscores, "
                "and not begin with a digit"
            )
    return payloads.encode(attributes, "search attributes")


def _ms(duration: Duration | None) -> int:
    return 0 if duration is None else parse(duration)


__all__ = ["Client", "HotMeshError", "WorkflowClient"]

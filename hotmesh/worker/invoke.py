"""Entry → user code → answer.

A failure of user code is an answer too, never an exception of ours.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from msgspec import Raw
from opentelemetry.trace import StatusCode
from structlog.contextvars import bind_contextvars

from hotmesh.errors import HotMeshError, PayloadInvalid
from hotmesh.log import get_logger
from hotmesh.messages import EMPTY, Reply, StreamData, StreamMetadata, StreamResult, Work
from hotmesh.payload import decode, encode
from hotmesh.telemetry import spans
from hotmesh.worker.signature import Handler, convert_for

log = get_logger("hotmesh.worker")

CODES = {"success": 200, "pending": 202, "error": 500}
ERROR_TEXT_MAX = 2048


class _OutOfTime(Exception):
    """The activity's time limit has passed."""


class Invoker:
    """Calls one handler."""

    def __init__(
        self, handler: Handler, executor: ThreadPoolExecutor, *, payload_bytes_max: int
    ) -> None:
        self._handler, self._executor, self._bytes_max = handler, executor, payload_bytes_max
        self._convert = convert_for(handler)
        self._silent = (
            False  # whether it was said that the handler gives None: its activities stay open
        )
        call = handler if inspect.isroutine(handler) else type(handler).__call__
        self._is_async = inspect.iscoroutinefunction(call)

    async def call(self, work: Work, rid: str) -> Reply | None:
        """Run the handler for one call.

        Args:
            rid: Stable for this attempt, over redeliveries: the handler's idempotency key.

        Returns:
            The answer; None when the handler gave none, so that the activity stays open for
            `mesh.add`.

        Raises:
            asyncio.CancelledError: The call was given up (a lost lease, a shutdown); it has no
            answer.
        """
        metadata = StreamMetadata(
            guid=rid,
            jid=work.jid,
            aid=work.aid,
            dad=work.dad,
            topic=work.topic,
            version=work.version,
            try_count=work.attempt,
            trace=work.trace,
        )
        bind_contextvars(job=work.jid, activity=work.aid)
        if not work.trace:
            return await self._answered(work, rid, metadata)
        with spans.processing(metadata) as span:
            if span is not None:
                # What follows from the answer hangs under the handling that gave it.
                trace = spans.traceparent_of(span.get_span_context())
                work = msgspec.structs.replace(work, trace=trace)
                metadata = msgspec.structs.replace(metadata, trace=trace)
            else:  # traced elsewhere: what is logged here leads there all the same
                bind_contextvars(trace=work.trace[3:35], span=work.trace[36:52])
            reply = await self._answered(work, rid, metadata)
            if span is not None and reply is not None and reply.status == "error":
                span.set_status(StatusCode.ERROR)
            return reply

    async def _answered(self, work: Work, rid: str, metadata: StreamMetadata) -> Reply | None:
        message = StreamData(metadata=metadata, data=decode(work.data))
        try:
            result = await self._run(message, work.timeout_ms)
        except _OutOfTime:
            text = f"the handler took longer than {work.timeout_ms} ms"
            return self._failure(work, rid, text, 504)
        except Exception as exc:
            spans.failed(exc)
            log.warning("handler.failed", topic=work.topic, attempt=work.attempt, exc_info=exc)
            return self._failure(work, rid, _text_of(exc), _code_of(exc))
        return self._answer(work, rid, result)

    async def _run(self, message: StreamData, timeout_ms: int) -> Any:
        argument = self._convert(message)
        if timeout_ms:
            try:
                async with asyncio.timeout(timeout_ms / 1000) as limit:
                    return await self._invoke(argument)
            except TimeoutError as exc:
                if limit.expired():  # otherwise it is an error of the handler's own
                    raise _OutOfTime from exc
                raise
        return await self._invoke(argument)

    async def _invoke(self, argument: Any) -> Any:
        if self._is_async:
            return await self._handler(argument)
        loop = asyncio.get_running_loop()
        # As in `asyncio.to_thread`: what is logged and traced there belongs to this call.
        call = contextvars.copy_context().run
        result = await loop.run_in_executor(self._executor, call, self._handler, argument)
        return await result if inspect.isawaitable(result) else result

    def _answer(self, work: Work, rid: str, result: Any) -> Reply | None:
        if result is None:
            if not self._silent:
                self._silent = True
                log.warning("handler.gave_none", topic=work.topic, job=work.jid, activity=work.aid)
            return None
        try:
            if not isinstance(result, StreamResult):
                return self._success(work, rid, result)
            return reply_of(result, _metadata_of(work), rid, work.attempt, self._bytes_max)
        except PayloadInvalid as exc:
            return self._failure(work, rid, str(exc), exc.code)

    def _success(self, work: Work, rid: str, data: Any) -> Reply:
        """The answer of a handler that gives plain data, which nearly all do."""
        raw = encode(data, what=f"the answer of topic {work.topic!r}", bytes_max=self._bytes_max)
        return Reply(
            work.jid,
            work.aid,
            work.dad,
            work.version,
            "success",
            200,
            raw,
            rid,
            work.attempt,
            work.trace,
        )

    def _failure(self, work: Work, rid: str, text: str, code: int) -> Reply:
        data = encode({"message": text[:ERROR_TEXT_MAX], "code": code}, what="an error")
        return Reply(
            work.jid,
            work.aid,
            work.dad,
            work.version,
            "error",
            code,
            data,
            rid,
            work.attempt,
            work.trace,
        )


def reply_of(
    result: StreamResult, metadata: StreamMetadata, rid: str, attempt: int, bytes_max: int
) -> Reply:
    """The answer that a result stands for.

    Raises:
        PayloadInvalid: Its data can't be carried.
    """
    code = result.code if result.code is not None else CODES[result.status]
    data: Raw = EMPTY
    if result.status == "error":
        given = result.data if isinstance(result.data, dict) else {"message": result.data}
        if result.code is None and isinstance(given.get("code"), int):
            code = given["code"]
        data = encode({**given, "code": code}, what="an error", bytes_max=bytes_max)
    elif result.data is not None:
        what = f"the answer of topic {metadata.topic!r}"
        data = encode(result.data, what=what, bytes_max=bytes_max)
    return Reply(
        metadata.jid,
        metadata.aid,
        metadata.dad,
        metadata.version,
        result.status,
        code,
        data,
        rid,
        attempt,
        metadata.trace,
    )


class Stopwatch:
    """Seconds since it was made."""

    __slots__ = ("_began",)

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def read(self) -> float:
        return time.perf_counter() - self._began


def _metadata_of(work: Work) -> StreamMetadata:
    return StreamMetadata(
        guid="",
        jid=work.jid,
        aid=work.aid,
        dad=work.dad,
        topic=work.topic,
        version=work.version,
        try_count=work.attempt,
        trace=work.trace,
    )


def _code_of(exc: BaseException) -> int:
    code = getattr(exc, "code", None)
    return code if type(code) is int and 100 <= code <= 999 else 500


def _text_of(exc: BaseException) -> str:
    text = exc.args[0] if isinstance(exc, HotMeshError) and exc.args else str(exc)
    if isinstance(exc, KeyError):  # its text is no more than the key
        return f"{type(exc).__name__}: {exc}"
    return str(text) or type(exc).__name__

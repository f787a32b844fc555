"""What callers get of a job."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from hotmesh.core import Job
from hotmesh.core.context import job_metadata
from hotmesh.errors import JobError
from hotmesh.messages import Failure


class JobMetadata(Struct, kw_only=True, omit_defaults=True):
    """Facts about a job, under the names that the original gives them.

    Attributes:
        jid, tpc, app, vrs, aid: Job id, topic, app, version, the trigger's activity id.
        js: Status: open activities, 0 done, negative interrupted.
        jc, ju: Created, last changed, `YYYYMMDDHHmmss.SSS` in UTC by the server's clock.
        key, ts: Job key and time slot of its statistics.
        err: The error of a failed job: an object with `message` and `code`.
        trc, ngn, pj, pa, pd: Trace id, waiting client, and the parent's job, activity and
            dimension.
    """

    jid: str
    tpc: str
    app: str
    vrs: str
    aid: str
    js: int
    jc: str
    ju: str
    key: str | None = None
    ts: str | None = None
    err: dict[str, Any] | None = None
    trc: str | None = None
    ngn: str | None = None
    pj: str | None = None
    pa: str | None = None
    pd: str | None = None


class JobFailure(Struct, kw_only=True, frozen=True):
    """A failed activity, or an interrupt, and what failed below it.

    Attributes:
        code, message: Of its error; a long message is cut.
        job_id: The job in which it failed.
        activity, dimension: "" for an interrupt of the job.
        handled: Whether a transition with conditions took the error, so that the job is none the
            worse.
        children: Of an await: what failed in the job that it awaited.
    """

    code: int
    message: str
    job_id: str
    activity: str = ""
    dimension: str = ""
    handled: bool = False
    children: tuple[JobFailure, ...] = ()


class JobOutput(Struct, kw_only=True, omit_defaults=True):
    """A job's data and metadata, as they were when they were read.

    Attributes:
        errors: What failed, as a tree over the jobs that it awaited; empty when nothing did.
    """

    data: dict[str, Any]
    metadata: JobMetadata
    errors: tuple[JobFailure, ...] = ()


def output_of(job: Job) -> JobOutput:
    """What a caller gets of a loaded job."""
    metadata = JobMetadata(**job_metadata(job))
    return JobOutput(data=job.data, metadata=metadata, errors=failures_of(job))


def failures_of(job: Job) -> tuple[JobFailure, ...]:
    """What failed in a job, as people see it."""
    return tuple(_failure(job.jid, f) for f in job.extras.failures)


def _failure(jid: str, failure: Failure) -> JobFailure:
    jid = failure.jid or jid
    return JobFailure(
        code=failure.code,
        message=failure.message,
        job_id=jid,
        activity=failure.aid,
        dimension=failure.dad,
        handled=failure.handled,
        children=tuple(_failure(jid, f) for f in failure.children),
    )


_TOLD = ("code", "message", "job_id")


def error_of(job: Job) -> JobError | None:
    """The error of a job that ended with one."""
    if job.error is None:
        return None
    code = job.error.get("code")
    more = {k: v for k, v in job.error.items() if k not in _TOLD}
    return JobError(
        code=code if isinstance(code, int) else 500,
        message=str(job.error.get("message", "unknown")),
        job_id=job.jid,
        error=more["error"] if list(more) == ["error"] else more or None,
    )

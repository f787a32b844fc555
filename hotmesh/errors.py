"""Every error that hotmesh raises: one tree under `HotMeshError`.

Each class has a `code` (an HTTP-like number that transitions, workers and the command line share)
and, as attributes, the facts that a handler needs. The message says what happened, where, and what
to do; secrets and payloads never appear in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class HotMeshError(Exception):
    """The root of the tree. `code` is 500 unless a subclass says otherwise."""

    code: int = 500


# -- models and mapping


class Finding:
    """One thing that is wrong (or doubtful) in a model: where it is and what to do.

    Attributes:
        message: What is wrong and what to do, without the position.
        path: The place in the model, such as `graphs[0].activities.a1.input.maps.x`.
        file: The file that holds it, or `<text>` / `<dict>`.
        line, column: Both from 1; 0 when the source has no positions.
        severity: `error` (the model is refused) or `warning`.
    """

    __slots__ = ("column", "file", "line", "message", "path", "severity")

    def __init__(
        self,
        message: str,
        *,
        path: str = "",
        file: str = "<text>",
        line: int = 0,
        column: int = 0,
        severity: str = "error",
    ) -> None:
        self.message, self.path, self.file = message, path, file
        self.line, self.column, self.severity = line, column, severity

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.path + ': ' if self.path else ''}{self.message}"

    def __repr__(self) -> str:
        return f"Finding({str(self)!r}, severity={self.severity!r})"


class ModelInvalid(HotMeshError):
    """A model can't be loaded or compiled.

    `findings` holds every fault that was found, each with file, line and path.
    """

    code = 400

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        head = (
            "the model has 1 fault"
            if len(self.findings) == 1
            else f"the model has {len(self.findings)} faults"
        )
        super().__init__(
            "\n".join([f"{head}:" if self.findings else head, *(f"  {f}" for f in self.findings)])
        )


class MappingError(HotMeshError):
    """A mapping rule could not be compiled or evaluated.

    Attributes:
        where: The row and function concerned, such as `row 2, {@string.slice}`; empty for a plain
            value.
    """

    code = 500

    def __init__(self, message: str, *, where: str = "") -> None:
        self.where = where
        super().__init__(f"{where}: {message}" if where else message)


class DurationInvalid(HotMeshError, ValueError):
    """A text or number is not a duration."""

    code = 400


class SettingsInvalid(HotMeshError):
    """A setting has a value that can't be used; the message gives its flag, variable and key."""

    code = 400


# -- payloads and names


class PayloadInvalid(HotMeshError):
    """Data that can't be carried: a type that has no encoding, a schema violated, nested too deep.

    Attributes:
        field: The place in the data, such as `$.items[3].price`; `$` for the whole.
    """

    code = 422

    def __init__(self, message: str, *, field: str = "$") -> None:
        self.field = field
        super().__init__(message)


class PayloadTooLarge(PayloadInvalid):
    """A payload is over `payload_bytes_max`."""

    code = 413

    def __init__(self, *, what: str, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes
        super().__init__(
            f"{what} has {size_bytes:,} bytes, over the limit of {limit_bytes:,}; "
            "keep large values outside and send a reference, or raise payload_bytes_max"
        )


class NameInvalid(HotMeshError, ValueError):
    """An app id, topic, activity or job id that can't be used in keys."""

    code = 400


# -- connection and server


class ConnectionInvalid(HotMeshError):
    """`redis=` is not something that can be connected to (a wrong URL, a wrong type)."""

    code = 400


class ServerUnavailable(HotMeshError):
    """The server can't be reached, refuses us, or went away in mid-command.

    Whether a command that was on its way took effect is not known; everything in hotmesh that
    retries one is guarded.
    """

    code = 503


class ServerUnsuitable(HotMeshError):
    """A server answered, but hotmesh can't work on it (too old, read-only, not a Redis, keys
    would be evicted).
    """

    code = 503


class Overloaded(HotMeshError):
    """The system refuses new work to protect what it holds. `retry_after_ms` is a hint."""

    code = 429

    def __init__(self, message: str, *, retry_after_ms: int = 1000) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(message)


# -- apps and versions


class AppNotFound(HotMeshError):
    """No version of the app is active on this server."""

    code = 404

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        super().__init__(
            f"app {app_id!r} has no active version on this server; deploy a model and activate it "
            f"(hotmesh deploy FILE --activate), or check which server you are connected to"
        )


class VersionNotFound(HotMeshError):
    """A version was never deployed, or has been collected."""

    code = 404

    def __init__(self, *, app_id: str, version: str, known: Sequence[str] = ()) -> None:
        self.app_id, self.version, self.known = app_id, version, tuple(known)
        have = f"deployed are {', '.join(self.known)}" if self.known else "nothing is deployed"
        super().__init__(
            f"version {version!r} of app {app_id!r} does not exist ({have}); deploy it first"
        )


class VersionSealed(HotMeshError):
    """A version has been active, so jobs may run on it, and its model can't be replaced."""

    code = 409

    def __init__(self, *, app_id: str, version: str) -> None:
        self.app_id, self.version = app_id, version
        super().__init__(
            f"version {version!r} of app {app_id!r} has been active with another model, and jobs "
            "may run on it; give this model a new version"
        )


class ActivationFailed(HotMeshError):
    """The fleet did not agree on a version; nothing has changed.

    `members` maps each one that stood in the way to its reason.
    """

    code = 409

    def __init__(self, *, app_id: str, version: str, members: dict[str, str]) -> None:
        self.app_id, self.version, self.members = app_id, version, dict(members)
        why = "; ".join(f"{guid}: {reason}" for guid, reason in self.members.items())
        super().__init__(f"version {version!r} of app {app_id!r} was not activated: {why}")


class MemberNotFound(HotMeshError):
    """No member of the fleet has that guid, or a guid that begins so, or lives on such a host."""

    code = 404

    def __init__(self, who: str) -> None:
        self.who = who
        super().__init__(f"there is no member {who!r}; roll_call (hotmesh rollcall) shows who is")


class MemberAmbiguous(HotMeshError):
    """More than one member is meant; `guids` are theirs."""

    code = 409

    def __init__(self, who: str, guids: Sequence[str]) -> None:
        self.who, self.guids = who, tuple(guids)
        super().__init__(f"{who!r} may be {' or '.join(self.guids)}; give the guid of one")


class DrainTimeout(HotMeshError):
    """A member has not drained in time, or can't. If it has begun, it goes on.

    Attributes:
        in_flight: Entries that it held when it was last heard of.
    """

    code = 504

    def __init__(self, *, guid: str, in_flight: int, reason: str = "") -> None:
        self.guid, self.in_flight, self.reason = guid, in_flight, reason
        what = reason or f"{in_flight} entries are still in its hands; it goes on, look again later"
        super().__init__(f"member {guid} has not drained: {what}")


class FormatUnknown(HotMeshError):
    """Stored or sent data has a format number that this process can't read; a newer process can."""

    code = 409


class TopicNotFound(HotMeshError):
    """No graph of the active version subscribes to a topic."""

    code = 404

    def __init__(self, *, topic: str, app_id: str, version: str, near: Sequence[str] = ()) -> None:
        self.topic, self.app_id, self.version, self.near = topic, app_id, version, tuple(near)
        hint = f"; did you mean {' or '.join(repr(n) for n in self.near)}?" if self.near else ""
        super().__init__(
            f"no graph of app {app_id!r} version {version!r} subscribes to {topic!r}{hint}"
        )


class HookNotFound(HotMeshError):
    """No graph of the version has a hook rule for a signal's topic."""

    code = 404

    def __init__(self, *, topic: str, app_id: str, version: str) -> None:
        self.topic, self.app_id, self.version = topic, app_id, version
        super().__init__(
            f"no graph of app {app_id!r} version {version!r} has a hook rule for topic {topic!r}; "
            "add one under 'hooks', or check the topic"
        )


class QueryInvalid(HotMeshError, ValueError):
    """A query of statistics or ids can't be answered as it is put."""

    code = 400


# -- jobs


class JobNotFound(HotMeshError):
    """There is no such job: it never existed, has expired or was scrubbed."""

    code = 404

    def __init__(self, job_id: str, *, topic: str = "", found: str = "") -> None:
        self.job_id = job_id
        if found:
            super().__init__(f"job {job_id!r} is of topic {found!r}, not of {topic!r}")
            return
        super().__init__(
            f"job {job_id!r} was not found: it never existed, has expired or was scrubbed"
        )


class DuplicateJob(HotMeshError):
    """A job with this id exists already (running, or finished and not yet expired)."""

    code = 409

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(
            f"job {job_id!r} exists already; use another id, wait until it has expired, or scrub it"
        )


class JobTimeout(HotMeshError):
    """A caller stopped waiting. The job goes on; `job_id` finds it later.

    Attributes:
        waiting: What the job waited for when the caller gave up, in words.
    """

    code = 504

    def __init__(self, *, job_id: str, timeout_s: float, waiting: Sequence[str] = ()) -> None:
        self.job_id, self.timeout_s, self.waiting = job_id, timeout_s, tuple(waiting)
        where = f"; it waits in {', '.join(self.waiting)}" if self.waiting else ""
        super().__init__(
            f"job {job_id!r} gave no result within {timeout_s:g} s{where}; it goes on, and "
            "get_state finds its result until the record expires"
        )


class JobError(HotMeshError):
    """A job ended with an error.

    Attributes:
        code: The code of the activity that failed; 410 when the job was interrupted.
        message: Its message, as the worker gave it.
        job_id: The job.
        error: What else the worker sent along: what it put under `error`, else an object; or None.
    """

    def __init__(self, *, code: int, message: str, job_id: str, error: Any = None) -> None:
        self.code, self.message, self.job_id, self.error = code, message, job_id, error
        super().__init__(f"job {job_id!r} failed with code {code}: {message}")


class JobEnded(HotMeshError):
    """A running job was needed, and it has ended already."""

    code = 409

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id!r} has ended already: completed, failed or interrupted")


# -- topics and plain streams


class Reject(HotMeshError):
    """Raised by a handler: this entry can't be handled, now or later. It goes to the dead letters
    without another attempt.
    """

    code = 422


class DeliveryLost(HotMeshError):
    """The entry is another consumer's by now: this one was silent for longer than its lease."""

    code = 409

    def __init__(self, *, topic: str, id: str) -> None:
        self.topic, self.id = topic, id
        super().__init__(
            f"entry {id} of {topic!r} is another consumer's by now; what this handler does is done "
            "there again. Do not block the event loop, or raise lease="
        )


# -- state


class StateLost(HotMeshError):
    """The server lost or changed state under us (a flush, a deleted group, a key of another
    type).
    """

    code = 500

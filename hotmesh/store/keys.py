"""Every key and channel name, made here and nowhere else.

`hm:{<app>}` is what all partitions share; `hm:{<app>/<p>}:…` lies in partition p, and the braces
put all of it in one slot. Job ids are percent-encoded and app ids and topics are checked, so
nothing that a user names can move a slot or meet a glob.
"""

from __future__ import annotations

from hotmesh.ids import derive, escape, partition_of

GROUP_ENGINE = "engine"
GROUP_WORKER = "worker"

SHORT_MAX = 200


class Partition:
    """Keys of one partition."""

    __slots__ = ("dead", "engine", "number", "outbox", "prefix", "timers", "version")

    def __init__(self, namespace: str, app_id: str, number: int) -> None:
        self.number = number
        self.prefix = f"{namespace}:{{{app_id}/{number}}}:"
        self.engine = self.prefix + "s"
        self.timers = self.prefix + "t"
        self.dead = self.prefix + "x"
        self.outbox = self.prefix + "o"
        self.version = self.prefix + "v"

    def job(self, jid: str) -> str:
        return f"{self.prefix}j:{escape(jid)}"

    def worker(self, topic: str) -> str:
        return f"{self.prefix}s:{topic}"

    def history(self, run_id: str) -> str:
        """What happened to one run, item by item."""
        return f"{self.prefix}l:{run_id}"

    def archive(self, jid: str, run_id: str) -> str:
        """The record of a run whose workflow id another run has taken over."""
        return f"{self.prefix}j:{escape(jid)}:{run_id}"

    def tasks(self, queue: str, keeper: str = "") -> str:
        """Runs of a task queue that have something to look at: for anybody, or for the worker
        that keeps them in memory.
        """
        return f"{self.prefix}s:{queue}:w:{keeper}" if keeper else f"{self.prefix}s:{queue}:w"

    def calls(self, queue: str, keeper: str = "") -> str:
        """Activities of a task queue, for anybody or already begun by one worker."""
        return f"{self.prefix}s:{queue}:a:{keeper}" if keeper else f"{self.prefix}s:{queue}:a"

    def keepers(self, queue: str) -> str:
        """Workers of a task queue that have streams of their own, by when they came."""
        return f"{self.prefix}k:{queue}"

    def life(self, keeper: str) -> str:
        """That a worker lives: it expires when the worker says no more."""
        return f"{self.prefix}a:{keeper}"

    @property
    def schedules(self) -> str:
        """Ids of schedules, by when they were made."""
        return f"{self.prefix}c"

    def schedule(self, schedule_id: str) -> str:
        """The record of one schedule."""
        return f"{self.prefix}c:{_short(schedule_id)}"

    def runs(self, kind: str) -> str:
        """Runs by start time: `open`, `closed`, or an attribute with its value."""
        return f"{self.prefix}r:{_short(kind)}"

    def waiters(self, topic: str, key: str) -> str:
        """Hooks that wait for a signal, the longest first."""
        return f"{self.prefix}h:{topic}:{_short(key)}"

    def early(self, topic: str, key: str) -> str:
        """Signals that came before their hook."""
        return f"{self.prefix}e:{topic}:{_short(key)}"

    def receipt(self, rid: str) -> str:
        """That a signal was sent."""
        return f"{self.prefix}q:{_short(rid)}"

    def stats(self, name: str, kind: str, what: str) -> str:
        """Statistics: kind `s` sums, `v` values of a path, `i` an index."""
        return f"{self.prefix}i:{name}:{kind}:{_short(what)}"


def _short(text: str) -> str:
    """Text that a user chose, as a part of a key: escaped, and digested when it is long."""
    escaped = escape(text)
    return escaped if len(escaped) <= SHORT_MAX else f"~{derive(text)}"


class Keys:
    """Keys of one app."""

    __slots__ = (
        "app",
        "app_id",
        "collecting",
        "fleet",
        "jobs",
        "members",
        "namespace",
        "partitions",
        "plans",
        "talk",
        "throttles",
        "uses",
        "wake",
    )

    def __init__(self, namespace: str, app_id: str, partitions: int = 1) -> None:
        self.namespace, self.app_id = namespace, app_id
        self.app = f"{namespace}:{{{app_id}}}"
        self.plans = f"{self.app}:plans"
        self.uses = f"{self.app}:uses"
        self.collecting = f"{self.app}:collecting"
        self.jobs = f"{namespace}:{{{app_id}/*}}:j:*"  # a pattern: neither part can hold a glob
        self.members = f"{self.app}:members"
        self.throttles = f"{self.app}:throttles"
        self.fleet = f"{self.app}:fleet"
        self.talk = f"{self.app}:talk"
        self.wake = f"{self.app}:wake"
        self.partitions = tuple(Partition(namespace, app_id, p) for p in range(partitions))

    def of(self, jid: str) -> Partition:
        """The partition that holds a job."""
        return self.partitions[partition_of(jid, len(self.partitions))]

    def caller(self, guid: str) -> str:
        """Channel of one client's results."""
        return f"{self.app}:c:{guid}"

    def published(self, name: str) -> str:
        """Channel of a published result: `name` is the graph's `publishes`, a dot and the
        escaped job id, or a pattern.
        """
        return f"{self.app}:q:{name}"

"""Every key and channel of topics, agents and tables, made here and nowhere else.

A topic belongs to a namespace, not to an app: `App("shop").topic("orders")` and a router's
`subscribe("orders")` meet at the same streams. Partition p of *every* topic and table of a
namespace lies in one slot, `hm:{hm~p}:…`: what an agent reads in partition p, the tables that it
changes there and what it appends to other topics there can be settled by one script. App ids and
namespaces have no `~`, so these keys meet none of `hotmesh.store.keys`.
"""

from __future__ import annotations

from zlib import crc32

from hotmesh.ids import check_app_id, check_topic, derive, escape

PARTITIONS_MAX = 256
SHORT_MAX = 200


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key. Fixed for ever: every process and release must agree."""
    return crc32(key) % partitions if partitions > 1 else 0


def group_of_agent(app_id: str, agent: str) -> str:
    """The consumer group of an agent. A router's group is the name that its user gave it."""
    return f"{app_id}.{agent}"


class Slot:
    """Keys of one partition number, in all topics and tables of a namespace."""

    __slots__ = ("number", "prefix")

    def __init__(self, namespace: str, number: int) -> None:
        self.number = number
        self.prefix = f"{namespace}:{{{namespace}~{number}}}:"

    def entries(self, topic: str) -> str:
        """The stream of a topic."""
        return f"{self.prefix}e:{topic}"

    def dead(self, topic: str) -> str:
        """Dead letters of a topic: entries that nobody could handle, with their reason."""
        return f"{self.prefix}x:{topic}"

    def receipt(self, producer: str) -> str:
        """The last sequence number that a producer has brought here."""
        return f"{self.prefix}q:{_short(producer)}"

    def owner(self, app_id: str) -> str:
        """Who runs this partition of an app, and its epoch (hash)."""
        return f"{self.prefix}o:{app_id}"

    def outbox(self, app_id: str) -> str:
        """What agents here have for other partitions (stream)."""
        return f"{self.prefix}out:{app_id}"

    def attempts(self, group: str) -> str:
        """Failed attempts at entries that are still pending (hash)."""
        return f"{self.prefix}a:{group}"

    def reply(self, request: str) -> str:
        """The answer to one request (string, expires)."""
        return f"{self.prefix}y:{_short(request)}"

    def table(self, app_id: str, table: str, pane: str = "") -> str:
        """A table's values here (hash): of one window when `pane` names it."""
        return f"{self.prefix}T:{app_id}:{table}{':' + pane if pane else ''}"

    def panes(self, app_id: str, table: str) -> str:
        """The windows of a table that exist here, by their end (sorted set)."""
        return f"{self.prefix}W:{app_id}:{table}"

    def meta(self, app_id: str, table: str) -> str:
        """A table's watermark and the like (hash)."""
        return f"{self.prefix}M:{app_id}:{table}"

    def changes(self, app_id: str, table: str) -> str:
        """A table's change stream."""
        return f"{self.prefix}C:{app_id}:{table}"

    def timers(self, group: str) -> str:
        """Entries that come again later (sorted set)."""
        return f"{self.prefix}d:{group}"


class Space:
    """Keys of one namespace."""

    __slots__ = ("_slots", "namespace", "tables", "topics")

    def __init__(self, namespace: str = "hm") -> None:
        self.namespace = check_app_id(namespace)
        prefix = f"{namespace}:{{{namespace}~}}:"
        self.topics = prefix + "topics"
        self.tables = prefix + "tables"
        self._slots: dict[int, Slot] = {}

    def slot(self, number: int) -> Slot:
        """Partition `number`."""
        found = self._slots.get(number)
        if found is None:
            found = self._slots[number] = Slot(self.namespace, number)
        return found

    def streams(self, topic: str, partitions: int) -> list[str]:
        """The streams of a topic, by partition."""
        return [self.slot(p).entries(topic) for p in range(partitions)]

    def members(self, app_id: str) -> str:
        """Processes that run an app, by their last sign of life (sorted set)."""
        return f"{self.namespace}:{{{self.namespace}~}}:m:{app_id}"

    def ticks(self, app_id: str) -> str:
        """When timers and crontabs fired last, over the fleet (hash)."""
        return f"{self.namespace}:{{{self.namespace}~}}:c:{app_id}"

    def fleet(self, app_id: str) -> str:
        """Channel: a process has come, gone, or let go of a partition."""
        return f"{self.namespace}:{{{self.namespace}~}}:f:{app_id}"

    def replies(self, client: str) -> str:
        """Channel: hints of one client's answers."""
        return f"{self.namespace}:{{{self.namespace}~}}:y:{client}"


def internal_topic(app_id: str, agent: str, what: str = "") -> str:
    """The topic of an agent that was given none, or (`what`) of a step inside one.

    `~` keeps it apart from the names that users may choose.
    """
    return f"{app_id}~{agent}{'~' + what if what else ''}"


def check_topic_name(topic: str) -> str:
    """A topic's name if it can stand in keys; internal names pass.

    Raises:
        NameInvalid: It can't.
    """
    for part in topic.split("~") if isinstance(topic, str) and "~" in topic else [topic]:
        check_topic(part)
    return topic


def _short(text: str) -> str:
    """Text that a user chose, as a part of a key: escaped, and digested when it is long."""
    escaped = escape(text)
    return escaped if len(escaped) <= SHORT_MAX else f"~{derive(text)}"

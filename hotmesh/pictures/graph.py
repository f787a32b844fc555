"""What the pictures are drawn from: graphs as plain data, and the shape that runs come in.

Every renderer (`svg`, `mermaid`, `text`) takes a `Graph` and knows nothing of models or jobs;
`model` and `run` make one.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

State: TypeAlias = Literal["", "done", "open", "failed", "waiting", "idle"]
"""Of an activity in a run: `waiting` is an open hook or await, `idle` one that was not reached. ""
in the picture of a model.
"""

EdgeKind: TypeAlias = Literal["flow", "cycle", "call", "signal"]
"""`flow`: a transition. `cycle`: back to an ancestor. `call`: to the box of another graph.
`signal`: from a hook topic to the hook that it wakes, or from a signal activity to one.
"""

KINDS = ("trigger", "worker", "await", "hook", "cycle", "signal", "interrupt", "topic", "graph")
"""Kinds of nodes: the types of activities, then `topic` (a hook topic) and `graph` (another graph).

A node of any other kind is drawn as a worker.
"""


class Node(Struct, frozen=True, kw_only=True):
    """One box.

    Attributes:
        id: Unique in its graph; never shown.
        label: The name on it.
        details: Short lines below the name, the topic first.
        note: What happened to it in a run, such as `350 ms, 2 retries`.
    """

    id: str
    label: str
    kind: str
    details: tuple[str, ...] = ()
    state: State = ""
    note: str = ""


class Edge(Struct, frozen=True, kw_only=True):
    """One arrow.

    Attributes:
        taken: Whether a run followed it; None where there is no run.
    """

    source: str
    target: str
    label: str = ""
    kind: EdgeKind = "flow"
    taken: bool | None = None


class Graph(Struct, frozen=True, kw_only=True):
    """One drawing.

    Attributes:
        title: Its heading; for a graph of a model the topic that starts it.
        about: Short lines below the title.
        nodes: In the order in which the author wrote them, which drawings keep where they can.
        edges: Those that name a node which is not there are left out by every renderer.
    """

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    about: tuple[str, ...] = ()

    @property
    def drawn_edges(self) -> tuple[Edge, ...]:
        """The edges both of whose nodes exist."""
        ids = {node.id for node in self.nodes}
        return tuple(e for e in self.edges if e.source in ids and e.target in ids)


class LegLike(Protocol):
    """One activity at one dimension of a run. `hotmesh.mesh.TimelineLeg` is one, `Leg` another."""

    @property
    def activity(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def dimension(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def began_ms(self) -> int: ...
    @property
    def changed_ms(self) -> int: ...
    @property
    def code(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def generations(self) -> int: ...
    @property
    def error(self) -> Any: ...


class EdgeLike(Protocol):
    """A transition that a run took, to the leg of `target` at `dimension`.

    `source_dimension` is that of the source, "" for the one that lies furthest above the target.
    """

    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def dimension(self) -> str: ...
    @property
    def source_dimension(self) -> str: ...


class Leg(Struct, frozen=True, kw_only=True):
    """A `LegLike` for runs that come from elsewhere, such as the JSON of `hotmesh export`.

    Attributes:
        dimension: Such as `,0,0,1,0`.
        state: `open` or `done`.
        began_ms, changed_ms: Server time of the first and of the last thing that happened to it.
        code, attempt: Of its last answer, 0 before one; attempts count from 0.
        generations: How often it ran: more than once when a cycle came back to it.
        error: What it failed with, or None.
    """

    activity: str
    type: str = "worker"
    dimension: str = ",0"
    state: str = "done"
    began_ms: int = 0
    changed_ms: int = 0
    code: int = 200
    attempt: int = 0
    generations: int = 1
    error: Any = None


class LegEdge(Struct, frozen=True, kw_only=True):
    """An `EdgeLike`, beside `Leg`."""

    source: str
    target: str
    dimension: str = ",0"
    source_dimension: str = ""

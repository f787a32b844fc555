"""Pictures of models and runs: SVG, Mermaid and text, without a browser or any other program.

`from_plan` makes graphs of a model; `from_legs` and `on_model` make one of a run. A graph is drawn
by `graph_svg`, `graph_mermaid` or `graph_text`; `timeline_svg` and `timeline_text` draw a run along
time. All of it is pure: the same input gives the same bytes.
"""

from hotmesh.pictures.graph import (
    KINDS,
    Edge,
    EdgeLike,
    Graph,
    Leg,
    LegEdge,
    LegLike,
    Node,
    State,
)
from hotmesh.pictures.mermaid import graph_mermaid
from hotmesh.pictures.model import from_plan
from hotmesh.pictures.run import from_legs, on_model
from hotmesh.pictures.svg import graph_svg
from hotmesh.pictures.text import graph_text, timeline_text
from hotmesh.pictures.timeline_svg import timeline_svg

__all__ = [
    "KINDS",
    "Edge",
    "EdgeLike",
    "Graph",
    "Leg",
    "LegEdge",
    "LegLike",
    "Node",
    "State",
    "from_legs",
    "from_plan",
    "graph_mermaid",
    "graph_svg",
    "graph_text",
    "on_model",
    "timeline_svg",
    "timeline_text",
]

"""`hotmesh graph`."""

from __future__ import annotations

from typing import Literal

from hotmesh.cli.arguments import model_source
from hotmesh.cli.context import Cli
from hotmesh.cli.models import compiled
from hotmesh.pictures import from_plan, graph_mermaid, graph_svg, graph_text


def graph(file: str, /, *, format: Literal["text", "svg", "mermaid"] = "text", cli: Cli) -> None:
    """Draw a model. Needs no server.

    Args:
        file: The model, a YAML file; - for stdin.
        format: text, svg or mermaid.
    """
    graphs = from_plan(compiled(cli, model_source(file)).plan)
    if cli.output.json:
        cli.output.result(graphs)
        return
    if format == "svg":
        drawn = graph_svg(graphs)
    else:
        drawn = graph_text(graphs) if format == "text" else graph_mermaid(graphs)
    cli.output.line(drawn.rstrip("\n"))

"""`hotmesh schema`."""

from __future__ import annotations

from hotmesh.cli.context import Cli
from hotmesh.cli.output import to_json
from hotmesh.model import json_schema


def schema(*, cli: Cli) -> None:
    """Print the JSON Schema of models: editors complete and describe with it."""
    cli.output.line(to_json(json_schema(), indent=not cli.output.json))

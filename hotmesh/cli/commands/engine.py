"""`hotmesh engine`."""

from __future__ import annotations

from hotmesh.cli import serving
from hotmesh.cli.context import Cli


async def engine(*, cli: Cli) -> int:
    """Run an engine until SIGTERM or Ctrl-C; a second one stops at once."""
    return await serving.run(cli, cli.app_id(), "engine", engine=True)

"""`hotmesh quorum`."""

from __future__ import annotations

from hotmesh.cli import serving
from hotmesh.cli.context import Cli


async def quorum(*, cli: Cli) -> int:
    """Watch the fleet and keep house until SIGTERM or Ctrl-C; a second one stops at once."""
    return await serving.run(cli, cli.app_id(), "quorum", quorum=True)

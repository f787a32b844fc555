"""The scripts of topics, agents and tables, over the store's way to run them."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from hotmesh.connect import Transport
from hotmesh.store import Keys, Store
from hotmesh.store.scripts import Script, load
from hotmesh.streams.keys import Space

LUA = files("hotmesh.streams") / "lua"
SCRIPTS = ("commit", "declare", "disown", "own", "produce", "seek", "tick", "trim")


class StreamStore(Store):
    """Runs scripts by name; beside `hotmesh.store`'s own, those of this package.

    Attributes:
        space: Where everything lies.
    """

    def __init__(self, transport: Transport, space: Space) -> None:
        # Its keys of jobs are not used: nothing here reads or writes a job.
        super().__init__(transport, Keys(space.namespace, "streams"))
        self.space = space

    @staticmethod
    @cache
    def load_scripts(*, shebang: bool) -> dict[str, Script]:
        """Every script, by its name."""
        ours = {name: Script(name, shebang=shebang, folder=LUA) for name in SCRIPTS}
        return {**load(shebang=shebang), **ours}

"""What every command works with: settings, output, and the way to the server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from hotmesh import connect
from hotmesh.cli.output import Output
from hotmesh.errors import ConnectionInvalid, HotMeshError, ServerUnavailable, SettingsInvalid
from hotmesh.ids import check_app_id
from hotmesh.log import get_logger
from hotmesh.mesh import HotMesh, Settings, Worker
from hotmesh.settings import RELOADED, Loaded, called
from hotmesh.store import Keys, Store, partitions_of
from hotmesh.telemetry.logs import configure_logs

if TYPE_CHECKING:
    from hotmesh.durable import Client

PREFIX, DURABLE = "hm", "durable"
log = get_logger("hotmesh.cli")


class Context:
    """One run of the command.

    Attributes:
        settings: As loaded; `loaded` knows where each value comes from.
    """

    def __init__(
        self, loaded: Loaded, output: Output, *, reload: Callable[[], Loaded] | None = None
    ) -> None:
        """`reload` reads the settings once more, with the same flags."""
        self.loaded, self.settings, self.output = loaded, loaded.settings, output
        self._reload = reload or (lambda: loaded)

    def reload(self) -> None:
        """Read the settings again, and use those that can change while a process runs.

        What is wrong, or takes a restart, is logged; the old ones stay in force then.
        """
        try:
            loaded = self._reload()
        except HotMeshError as exc:
            log.error("settings.refused", error=str(exc))
            return
        changed = self.loaded.changed(loaded)
        used = [key for key in changed if key in RELOADED]
        kept = [key for key in changed if key not in RELOADED]
        self.settings = msgspec.structs.replace(self.settings, log=loaded.settings.log)
        self.loaded = Loaded(self.settings, loaded.origins)
        if used:
            self.configure_logs(stays=True)
        # Not a log event: the level that has just been set might hide it.
        what = ", ".join(used) or "nothing has changed"
        self.output.event("reloaded", f"reloaded: {what}", changed=used)
        if kept:
            log.warning("settings.need_restart", keys=kept)

    def configure_logs(self, *, stays: bool) -> None:
        """Logs as the settings say; a command that ends is quiet unless something is wrong."""
        log = self.settings.log
        configure_logs(log.level or ("info" if stays else "warning"), log.format)

    def app_id(self, of_model: str | None = None) -> str:
        """The app to work on.

        Args:
            of_model: What a model on the command line says; used when no setting names an app.

        Raises:
            SettingsInvalid: Nobody says.
        """
        app = self.settings.mesh.app or of_model
        if app is None:
            raise SettingsInvalid(f"which app? {called('app')}")
        return check_app_id(app)

    # -- the server

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[connect.Connection]:
        """The server of the settings; the embedded one when they name none."""
        url, home = self.settings.connection.redis, self.settings.connection.home
        try:
            connection = await connect.open(url, home=Path(home) if home else None, role="cli")
        except (ConnectionInvalid, ServerUnavailable) as exc:
            # Name what the user wrote, or could write: not the argument of our own call.
            is_wrong = isinstance(exc, ConnectionInvalid)
            name = self.loaded.origin("redis") if is_wrong else "--redis"
            raise type(exc)(str(exc).replace("redis=", name, 1)) from exc
        async with connection:
            yield connection

    @asynccontextmanager
    async def mesh(self, app_id: str | None = None) -> AsyncIterator[HotMesh]:
        """A client of the app."""
        app_id = app_id or self.app_id()  # before a server is started for nothing
        async with self.connection() as connection:
            mesh = await self.join(connection, app_id)
            try:
                yield mesh
            finally:
                await mesh.stop()

    @asynccontextmanager
    async def durable(self) -> AsyncIterator[Client]:
        """A client of durable workflows; their namespace is the app, else `durable`."""
        from hotmesh.durable import Client

        prefix = self.settings.mesh.namespace
        if prefix != PREFIX:
            raise SettingsInvalid(f"durable workflows have keys under {PREFIX!r}, not {prefix!r}")
        async with (
            self.connection() as connection,
            Client(connection, self.settings.mesh.app or DURABLE) as client,
        ):
            yield client

    async def join(
        self,
        connection: connect.Connection,
        app_id: str,
        *,
        engine: bool = False,
        workers: Sequence[Worker] = (),
        quorum: bool = False,
    ) -> HotMesh:
        """A point of presence that the settings describe; the caller stops it."""
        mesh, engine_, worker = self.settings.mesh, self.settings.engine, self.settings.worker
        return await HotMesh.init(
            app_id,
            connection,
            engine=engine,
            workers=workers,
            quorum=quorum,
            lease=mesh.lease,
            namespace=mesh.namespace,
            partitions=mesh.partitions,
            settings=Settings(
                payload_bytes_max=mesh.payload_bytes_max,
                steps_max=engine_.steps_max,
                backlog_max=engine_.backlog_max,
                engine_batch=engine_.batch,
                deliveries_max=engine_.deliveries_max,
                grace=worker.grace,
                versions_kept=engine_.versions_kept,
                allow_eviction=engine_.allow_eviction,
                trace_split=engine_.trace_split,
            ),
        )

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """The app's store, for what no mesh offers."""
        async with self.attached() as (_, store):
            yield store

    @asynccontextmanager
    async def attached(self) -> AsyncIterator[tuple[connect.Connection, Store]]:
        """The app's store and its connection; unlike a mesh, also on a doubtful server."""
        app_id, namespace = self.app_id(), check_app_id(self.settings.mesh.namespace)
        async with self.connection() as connection:
            app_key = Keys(namespace, app_id).app
            count = await partitions_of(connection.transport, app_key, None)
            store = Store(connection.transport, Keys(namespace, app_id, count))
            await store.open()
            yield connection, store


Cli = Annotated[Context, Parameter(parse=False)]
"""The argument of a command that `main` fills in."""

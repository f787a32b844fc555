"""The admin of a command that stays: from before the server is looked for until after the mesh
has been left.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hotmesh.admin import Address, Admin, parse_address
from hotmesh.admin.address import LOOPBACK
from hotmesh.cli.context import Context
from hotmesh.errors import SettingsInvalid
from hotmesh.lifecycle import Host
from hotmesh.telemetry import provider

DEV_PORT = 8642
OFF = "off"


@asynccontextmanager
async def serving_admin(cli: Context, app_id: str, role: str) -> AsyncIterator[Admin | None]:
    """Serve the admin that the settings ask for; None when they ask for none."""
    admin = _admin(cli, app_id, role)
    if admin is None:
        yield None
        return
    provider.add_prometheus(f"hotmesh-{role}")
    host = Host([[admin]])
    await host.start()
    try:
        cli.output.event("admin", f"admin: {admin.address.url}", url=admin.address.url)
        yield admin
    finally:
        await host.stop()


def _admin(cli: Context, app_id: str, role: str) -> Admin | None:
    bind, token = cli.settings.admin.bind, cli.settings.admin.token
    if bind == OFF or (bind is None and role != "dev"):
        return None
    if bind is not None:
        return Admin(app_id, role, parse_address(bind, token=token), token=token)
    return _of_dev(cli, app_id, token)


def _of_dev(cli: Context, app_id: str, token: str | None) -> Admin | None:
    """Nobody has asked for it, so nothing about it is an error: a port that is taken is another
    `dev`'s, and what is not installed is left out.
    """
    try:
        for port in (DEV_PORT, 0):
            try:
                return Admin(app_id, "dev", Address(LOOPBACK, port), token=token)
            except SettingsInvalid:
                if not port:
                    raise
    except SettingsInvalid as exc:
        cli.output.note(f"no admin: {exc}")
    return None

"""`hotmesh plan`."""

from __future__ import annotations

from hotmesh.cli.arguments import model_source
from hotmesh.cli.context import Cli
from hotmesh.cli.models import app_of


async def plan(file: str, /, *, cli: Cli) -> None:
    """Tell what deploying a model would change. Nothing is stored.

    Args:
        file: The model, a YAML file; - for stdin.
    """
    source = model_source(file)
    app_id = app_of(cli, source)
    async with cli.mesh(app_id) as mesh:
        change = await mesh.plan(source)
    if cli.output.json:
        cli.output.result(
            {"app": app_id, **{f: getattr(change, f) for f in type(change).__struct_fields__}}
        )
        return
    for warning in change.warnings:
        cli.output.note(f"warning: {warning}")
    active = f"active is {change.active}" if change.active else "nothing is active"
    cli.output.line(f"version {change.version} of app {app_id} ({active})")
    for mark, names in (("+", change.added), ("~", change.changed), ("-", change.removed)):
        for name in names:
            cli.output.line(f"  {mark} {name}")
    if not (change.added or change.changed or change.removed):
        cli.output.line("  no activity changes")
    cli.output.line(
        "can be activated while jobs run" if change.hot else f"can't be activated: {change.reason}"
    )

"""Models as arguments: what `deploy`, `plan`, `check` and `dev` share."""

from __future__ import annotations

from pathlib import Path

from hotmesh.cli.context import Context
from hotmesh.compiler import Compiled, compile_model


def compiled(cli: Context, source: Path | str) -> Compiled:
    """A model, compiled: its faults are told before any server is asked for.

    Raises:
        ModelInvalid: It has faults, or is of another app than the settings say.
    """
    return compile_model(source, app_id=cli.settings.mesh.app)


def app_of(cli: Context, source: Path | str) -> str:
    """The app of a model. Raises as `compiled`."""
    return compiled(cli, source).plan.app_id

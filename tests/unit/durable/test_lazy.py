"""Importing loads little, and what type checkers see is what there is."""

from __future__ import annotations

import inspect
import subprocess
import sys

import hotmesh.durable
from hotmesh.durable import modules

HEAVY = {"redis", "asyncio", "msgspec", "structlog", "opentelemetry", "hotmesh.durable.client"}


def _loaded(code: str) -> set[str]:
    script = f"import sys; before = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    return set(told.stdout.split())


def test_importing_hotmesh_loads_nothing() -> None:
    loaded = _loaded("import hotmesh")
    assert "hotmesh" in loaded
    assert not {name for name in loaded if name.startswith("hotmesh.")}
    assert not loaded & HEAVY


def test_durable_comes_with_hotmesh_and_is_lazy() -> None:
    loaded = _loaded("from hotmesh import durable")
    assert {name for name in loaded if name.startswith("hotmesh.")} == {"hotmesh.durable"}
    assert "hotmesh.durable.client" in _loaded("import hotmesh; hotmesh.durable.Client")


def test_every_public_name_of_durable_is_there() -> None:
    for name in hotmesh.durable.__all__:
        assert getattr(hotmesh.durable, name) is not None


def test_modules_that_can_be_called_are_typed_whole() -> None:
    activity, workflow = hotmesh.durable.activity, hotmesh.durable.workflow
    assert set(workflow.__all__) == {n for n in vars(modules.workflow) if not n.startswith("__")}
    functions = {
        name
        for name, value in vars(activity).items()
        if inspect.isfunction(value)
        and value.__module__ == "hotmesh.durable.activity"
        and not name.startswith("_")
    } - {"activity_name", "signature_of"}
    assert functions <= set(vars(modules.activity))


def test_modules_are_decorators() -> None:
    @hotmesh.durable.activity(name="renamed")
    async def act() -> None: ...

    @hotmesh.durable.workflow
    async def flow() -> None: ...

    assert act.name == "renamed"
    assert inspect.iscoroutinefunction(flow)
    import hotmesh.durable.workflow as module

    assert inspect.ismodule(module)

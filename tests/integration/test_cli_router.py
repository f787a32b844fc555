"""`hotmesh router`: routes of a file and routers of a module, as a process."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_cli_support import Terminal, eventually

ROUTES = """
app = "shop"

[router]
group = "desk"

[routes.copy]
from = "orders"
topic = "copies"
match = {key = "eu-*"}
map = {n = "{value.n}", from = "{key}"}
"""

HANDLER = """
import hotmesh, json, pathlib
router = hotmesh.Router(group="handlers")

@router.subscribe("copies")
def write(value: dict):
    with pathlib.Path("seen").open("a") as file:
        file.write(json.dumps(value) + "\\n")
"""

PUBLISH = """
import asyncio, hotmesh, sys
async def main():
    async with hotmesh.Router(group="producer") as router:
        for n in range(int(sys.argv[1]), int(sys.argv[2])):
            await router.publish("orders", {"n": n}, key="eu-1" if n % 2 else "us-1")
asyncio.run(main())
"""

REBUILT = ROUTES.replace('"eu-*"', '"us-*"')


@pytest.fixture
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    folder = tmp_path_factory.mktemp("cli")
    (folder / "hotmesh.toml").write_text(ROUTES)
    (folder / "app.py").write_text(HANDLER)
    (folder / "publish.py").write_text(PUBLISH)
    terminal = Terminal(folder)
    try:
        yield terminal
    finally:
        terminal.close()


def seen(terminal: Terminal) -> list[dict[str, object]]:
    file = terminal.cwd / "seen"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def publish(terminal: Terminal, first: int, last: int) -> None:
    program = (sys.executable, "publish.py", str(first), str(last))
    done = terminal.run(program=program)
    assert done.returncode == 0, done.stderr


def test_routes_of_a_file_and_handlers_of_a_module_reload_and_stop(terminal: Terminal) -> None:
    router = terminal.start("router", "-A", "app", "-c", "hotmesh.toml")
    router.until("ready: router of copies, orders")
    publish(terminal, 0, 4)
    wanted = [{"n": 1, "from": "eu-1"}, {"n": 3, "from": "eu-1"}]
    eventually(lambda: sorted(seen(terminal), key=str) == wanted, "the route has copied")

    (terminal.cwd / "hotmesh.toml").write_text("[routes.copy]\nfrm = 'orders'\n")
    router.signal(signal.SIGHUP)
    router.until("routes.refused")
    (terminal.cwd / "hotmesh.toml").write_text(REBUILT)
    router.signal(signal.SIGHUP)
    router.until("routes.loaded")
    publish(terminal, 4, 6)
    eventually(lambda: {"n": 4, "from": "us-1"} in seen(terminal), "the new route has copied")
    assert {"n": 5, "from": "eu-1"} not in seen(terminal)

    router.signal(signal.SIGTERM)
    assert router.wait() == 0
    assert "Traceback" not in router.err


def test_seek_replays_before_anything_is_read(terminal: Terminal) -> None:
    first = terminal.start("router", "-A", "app", "-c", "hotmesh.toml")
    first.until("ready")
    publish(terminal, 0, 2)
    eventually(lambda: len(seen(terminal)) == 1, "the route has copied")
    assert first.stop() == 0

    again = terminal.start("router", "-A", "app", "-c", "hotmesh.toml", "--seek", "orders=earliest")
    again.until("ready")
    eventually(lambda: len(seen(terminal)) == 2, "the route has copied again")
    assert again.stop() == 0


def test_faults_are_found_with_file_and_path_and_the_name_that_was_meant(
    terminal: Terminal,
) -> None:
    Path(terminal.cwd / "bad.toml").write_text(
        """
[routes.a]
from = "orders"
too = "x"
[routes.b]
from = "orders"
to = "order.wanted"
concurrency = "many"
[routes.c]
from = "orders"
topic = "copies"
map = {x = {"@pipe" = [["{value.x}"], ["{@string.nope}"]]}}
[routes.d]
from = "orders"
topic = "copies"
match = {kee = "x"}
[emits.f]
activity = "emit.x"
topik = "x"
"""
    )

    done = terminal.run("router", "--check", "-c", "bad.toml")

    assert done.returncode == 1
    assert "bad.toml: routes.a.too: there is no key 'too'; did you mean 'to'?" in done.stdout
    assert "bad.toml: routes.b.concurrency: Expected" in done.stdout
    assert "bad.toml: routes.d.match.kee: there is no key 'kee'; did you mean 'key'?" in done.stdout
    assert "bad.toml: emits.f.topik: there is no key 'topik'; did you mean 'topic'?" in done.stdout
    assert done.stdout.splitlines()[-1] == "faults: 4"

    (terminal.cwd / "bad.toml").write_text(
        """
[routes.c]
from = "orders"
topic = "copies"
map = {x = {"@pipe" = [["{value.x}"], ["{@string.nope}"]]}}
[routes.e]
from = "orders"
to = "order.wanted"
signal = "order.wanted"
[emits.f]
activity = "emit x"
topic = "x"
"""
    )
    done = terminal.run("router", "--check", "-c", "bad.toml")
    assert "bad.toml: routes.c.map.x" in done.stdout
    assert "bad.toml: emits.f: " in done.stdout
    assert "bad.toml: routes.e: a route has one of to=" in done.stdout

    assert terminal.run("router", "-c", "bad.toml").returncode == 2
    assert terminal.run("router", "--check").returncode == 0
    assert terminal.run("router", "-A", "app:nothing").returncode == 2
    assert terminal.run("router", "-A", "app", "--seek", "orders").returncode == 2
    assert terminal.run("router", "-A", "app", "--seek", "orders=soon").returncode == 2


REFUSING = """
import hotmesh
router = hotmesh.Router(group="strict")
broken = True

@router.subscribe("orders")
async def refuse(value: dict):
    raise hotmesh.Reject("sold out")
"""


def test_dead_letters_of_a_router_are_listed_shown_retried_and_dropped(
    terminal: Terminal,
) -> None:
    (terminal.cwd / "refusing.py").write_text(REFUSING)
    router = terminal.start("router", "-A", "refusing")
    router.until("ready")
    publish(terminal, 0, 2)

    def letters() -> list[dict[str, object]]:
        of = ("--topic", "orders", "--group", "strict")
        found: list[dict[str, object]] = terminal.json("dlq", "list", *of)["dead_letters"]
        return found

    first, second = eventually(lambda: letters() if len(letters()) == 2 else None, "two letters")
    assert first["reason"] == second["reason"] == "Reject: sold out"
    assert terminal.json("dlq", "show", first["id"])["content"]["p"] == '{"n":1}'

    assert terminal.json("dlq", "retry", first["id"])["retried"] == [first["id"]]
    eventually(lambda: first["id"] not in [x["id"] for x in letters()], "it lives again")
    again = eventually(lambda: letters() if len(letters()) == 2 else None, "it is refused again")
    assert terminal.ok("dlq", "drop", *(str(x["id"]) for x in again)) == "dropped 2\n"
    assert letters() == []
    assert terminal.run("dlq", "drop", str(first["id"])).returncode == 1
    assert terminal.run("dlq", "list", "--topic", "orders").returncode == 2
    assert router.stop() == 0

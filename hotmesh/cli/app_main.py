"""`python shop.py worker`: the command line that an app's own module offers."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

from cyclopts import App as Parser
from cyclopts import CycloptsError, Parameter

from hotmesh.cli.arguments import read_json
from hotmesh.cli.output import Output
from hotmesh.errors import HotMeshError, SettingsInvalid
from hotmesh.lifecycle import EXIT_DONE, EXIT_FAILED, EXIT_KILLED, EXIT_USAGE

if TYPE_CHECKING:
    from hotmesh.streams.app import App


def main(app: App, argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code: 0 done, 1 the work failed, 2 wrong use."""
    output = Output()
    parser = _parser(app, output)
    try:
        code = parser(list(sys.argv[1:] if argv is None else argv))
        return code if isinstance(code, int) else EXIT_DONE
    except CycloptsError as exc:
        output.error(SettingsInvalid(str(exc).strip()))
        return EXIT_USAGE
    except HotMeshError as exc:
        output.error(exc)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_KILLED


def _parser(app: App, output: Output) -> Parser:
    parser = Parser(
        name=app.id,
        help=f"The app {app.id!r}.",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
        print_error=False,
        exit_on_error=False,
        result_action="return_value",
    )

    async def worker() -> int:
        """Run the agents until SIGTERM or Ctrl-C."""
        from hotmesh.telemetry.logs import configure_logs

        configure_logs()
        output.event("ready", f"app {app.id}: {', '.join(app.agents) or 'no agents'}")
        return await app.run()

    async def send(topic: str, value: str, *, key: str | None = None) -> None:
        """Send a value (JSON) to a topic or an agent.

        Args:
            topic: Of the app; or the name of an agent.
            value: JSON, @file.json, or - for stdin.
            key: Decides the partition.
        """
        async with app:
            agent = app.agents.get(topic)
            found = agent.channel if agent is not None else app.topics.get(topic)
            if found is None:
                raise SettingsInvalid(f"app {app.id!r} has no topic or agent {topic!r}")
            plain = found.codec.convert(read_json(value, "the value"), what="the value")
            sent = await found.send(plain, key=key)
            if sent is not None:
                output.line(f"{sent.topic}/{sent.partition} {sent.id}")

    def agents() -> None:
        """The agents, and what they read."""
        rows = [(a.name, ", ".join(t.name for t in a.topics), a.concurrency) for a in _all(app)]
        output.table(("agent", "topics", ">concurrency"), rows)

    for function in (worker, send, agents):
        parser.command(_in_loop(function), name=function.__name__)
    for name, own in app.commands.items():
        parser.command(_in_loop(own, app), name=name)
    return parser


def _all(app: App) -> list[Any]:
    return list(app.agents.values())


def _in_loop(function: Callable[..., Any], app: App | None = None) -> Callable[..., Any]:
    """The function as one that is not async; a command of the app has it open as a client."""
    if not inspect.iscoroutinefunction(function):
        return function

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        async def inside() -> Any:
            if app is None:
                return await function(*args, **kwargs)
            async with app:
                return await function(*args, **kwargs)

        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(inside())

    return run

"""The table of commands, and the way from arguments to an exit code.

Options that every command has may stand before or after it. A command's module is imported when it
is called; it gets what it works with as `cli`.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from msgspec import Struct

from hotmesh.cli.arguments import STDIN
from hotmesh.cli.output import Output, UsageError
from hotmesh.cli.usage import usage_of
from hotmesh.errors import (
    ConnectionInvalid,
    DurationInvalid,
    HotMeshError,
    NameInvalid,
    SettingsInvalid,
)
from hotmesh.lifecycle import EXIT_DONE, EXIT_FAILED, EXIT_KILLED, EXIT_USAGE
from hotmesh.release import RELEASE
from hotmesh.settings import Loaded, load

EXIT_PIPE = 141  # what a shell reports of a program that SIGPIPE ended
WRONG_USE = (UsageError, SettingsInvalid, NameInvalid, ConnectionInvalid, DurationInvalid)


class Command(Struct, frozen=True):
    """One command: its name, where it is (`module:attribute` below `commands`), and its help."""

    name: str
    path: str
    group: str
    help: str


COMMANDS = (
    Command("dev", "dev:dev", "Run", "Server, engine and workers in one process."),
    Command("engine", "engine:engine", "Run", "An engine: it decides what jobs do next."),
    Command("worker", "worker:worker", "Run", "A worker process: it calls your functions."),
    Command("quorum", "quorum:quorum", "Run", "A quorum service: it watches and keeps house."),
    Command(
        "router",
        "router:router",
        "Run",
        "A router: it takes entries of streams to where they belong.",
    ),
    Command("check", "check:check", "Models", "Find what is wrong in a model. Needs no server."),
    Command("plan", "plan:plan", "Models", "Tell what deploying a model would change."),
    Command("deploy", "deploy:deploy", "Models", "Store a model under its version."),
    Command("activate", "activate:activate", "Models", "Start new jobs on a version."),
    Command("graph", "graph:graph", "Models", "Draw a model. Needs no server."),
    Command("schema", "schema:schema", "Models", "The JSON Schema of models, for editors."),
    Command("pipe", "pipe:pipe", "Models", "Evaluate a mapping rule."),
    Command("pub", "pub:pub", "Jobs", "Start a job."),
    Command("pubsub", "pubsub:pubsub", "Jobs", "Start a job and wait for its result."),
    Command("sub", "sub:sub", "Jobs", "Print results as they are published."),
    Command("state", "state:state", "Jobs", "The data and metadata of a job."),
    Command("export", "export:export", "Jobs", "A run as a timeline or a picture."),
    Command("interrupt", "interrupt:interrupt", "Jobs", "End a running job."),
    Command("start", "start:start", "Workflows", "Start a durable workflow."),
    Command("result", "result:result", "Workflows", "Wait for the result of a workflow."),
    Command("signal", "signal:signal", "Workflows", "Send a signal to a workflow."),
    Command("query", "query:query", "Workflows", "Ask the code of a workflow something."),
    Command("cancel", "cancel:cancel", "Workflows", "Ask a workflow to cancel."),
    Command("history", "history:history", "Workflows", "What happened to a workflow."),
    Command("list", "list:list_", "Workflows", "Find workflows."),
    Command("schedule", "schedule:app", "Workflows", "Workflows that start by themselves."),
    Command("rollcall", "rollcall:rollcall", "Operate", "Who is there, and how each is."),
    Command("top", "top:top", "Operate", "Streams, rates and members, live."),
    Command("doctor", "doctor:doctor", "Operate", "What is wrong, what a crash can lose."),
    Command("throttle", "throttle:throttle", "Operate", "Slow down who takes entries."),
    Command("pause", "throttle:pause", "Operate", "Take nothing until resumed."),
    Command("resume", "throttle:resume", "Operate", "Lift a pause or a throttle."),
    Command("drain", "drain:drain", "Operate", "Empty a member before it is stopped."),
    Command("topics", "topics:topics", "Streams", "Topics, their length and their groups."),
    Command("tail", "entries:tail", "Streams", "Print entries of a topic as they come."),
    Command("produce", "entries:produce", "Streams", "Send an entry to a topic."),
    Command("lag", "topics:lag", "Streams", "How far groups are behind."),
    Command("reset", "topics:reset", "Streams", "Have a group go on from somewhere else."),
    Command("tables", "tables:tables", "Streams", "Tables, and what they hold."),
    Command("dlq", "dlq:app", "Operate", "Dead letters: list, show, retry, drop."),
)
"""Every command, in the order of the help page."""

_SECTIONS = ("Run", "Models", "Jobs", "Workflows", "Streams", "Operate", "Everywhere", "Processes")
_GROUPS = {name: Group(name, sort_key=number) for number, name in enumerate(_SECTIONS)}
_Shared = Parameter(group=_GROUPS["Everywhere"])
_OfProcess = Parameter(group=_GROUPS["Processes"])


class Call(Struct, frozen=True):
    """What the options that every command has say, and the rest of the line."""

    tokens: tuple[str, ...]
    json: bool
    show_config: bool
    flags: dict[str, str]  # settings by key


def read_call(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    json: Annotated[bool, _Shared] = False,
    redis: Annotated[str | None, _Shared] = None,
    app: Annotated[str | None, _Shared] = None,
    namespace: Annotated[str | None, _Shared] = None,
    home: Annotated[str | None, _Shared] = None,
    wait: Annotated[str | None, _OfProcess] = None,
    set: Annotated[tuple[str, ...], _Shared] = (),
    show_config: Annotated[bool, _Shared] = False,
    lease: Annotated[str | None, _OfProcess] = None,
    partitions: Annotated[str | None, _OfProcess] = None,
    concurrency: Annotated[str | None, _OfProcess] = None,
    grace: Annotated[str | None, _OfProcess] = None,
    log_level: Annotated[str | None, _OfProcess] = None,
    log_format: Annotated[str | None, _OfProcess] = None,
    admin: Annotated[str | None, _OfProcess] = None,
    otlp: Annotated[str | None, _Shared] = None,
    trace_sample: Annotated[str | None, _Shared] = None,
) -> Call:
    """Durable workflows and an event-driven service mesh on Redis or Valkey.

    Args:
        json: Results and errors as JSON, one object per line.
        redis: URL of the server; without one, an embedded server is used.
        app: Id of the app.
        namespace: Prefix of all keys.
        home: Directory of the embedded server.
        wait: How long a process that stays waits for its server at the start.
        set: Any setting, as KEY=VALUE.
        show_config: Print the settings and where they come from.
        lease: How long a silent process keeps what it holds.
        partitions: Of an app that is used for the first time.
        concurrency: Calls at once per function.
        grace: How long calls may run on when the process stops.
        log_level: debug, info, warning or error.
        log_format: auto, console or json.
        admin: [HOST:]PORT of health, metrics and operations over HTTP.
        otlp: URL of a collector for traces and metrics, such as http://localhost:4318.
        trace_sample: Which share of the runs started here is traced, 0 to 1.
    """
    flags = {"redis": redis, "app": app, "namespace": namespace, "home": home, "lease": lease}
    flags |= {"wait": wait}
    flags |= {"partitions": partitions, "worker.concurrency": concurrency, "worker.grace": grace}
    flags |= {"log.level": log_level, "log.format": log_format, "admin.bind": admin}
    flags |= {"otel.endpoint": otlp, "otel.sample": trace_sample}
    for pair in set:
        key, mark, value = pair.partition("=")
        if not mark:
            raise UsageError(f"--set takes KEY=VALUE, not {pair!r}")
        flags[key] = value
    given = {key: value for key, value in flags.items() if value is not None}
    return Call(tokens, json, show_config, given)


def build() -> App:
    """The parser of the whole command line."""
    app = App(
        name="hotmesh",
        help="Durable workflows and an event-driven service mesh on Redis or Valkey.",
        version=RELEASE,
        help_format="plaintext",
        default_parameter=Parameter(negative=(), show_default=False),
        print_error=False,
        exit_on_error=False,
    )
    for number, command in enumerate(COMMANDS):
        app.command(
            f"hotmesh.cli.commands.{command.path}",
            name=command.name,
            help=command.help,
            group=_GROUPS[command.group],
            sort_key=number,
        )
    app.meta.default(read_call)
    return app


def main(argv: Sequence[str]) -> int:
    """Run one command line; the exit code: 0 done, 1 the work failed, 2 wrong use."""
    output = Output(json="--json" in argv)
    try:
        return _run(argv, output)
    except CycloptsError as exc:
        output.error(UsageError(usage_of(exc, [c.name for c in COMMANDS])))
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_KILLED
    except BrokenPipeError:
        # The reader has seen enough. Flushing at exit would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE
    except Exception as exc:  # noqa: BLE001 - the top of the process: an exit code, not a traceback
        exc = _single(exc)
        output.error(exc)
        return EXIT_USAGE if isinstance(exc, WRONG_USE) else EXIT_FAILED


def _run(argv: Sequence[str], output: Output) -> int:
    app = build()
    read, bound, _ = app.meta.parse_args(argv)
    if read is not read_call:  # help or version
        read(*bound.args, **bound.kwargs)
        return EXIT_DONE
    call = read_call(*bound.args, **bound.kwargs)
    output.json = call.json
    if call.show_config:
        _show(load(call.flags), output)
        return EXIT_DONE
    tokens = [STDIN if token == "-" else token for token in call.tokens]
    command, bound, filled = app.parse_args(tokens)
    if not filled:  # help again: of a command that only groups others
        command(*bound.args, **bound.kwargs)
        return EXIT_DONE
    return _call(command, bound, filled, call, output)


def _call(
    command: Callable[..., Any],
    bound: inspect.BoundArguments,
    filled: dict[str, Any],
    call: Call,
    output: Output,
) -> int:
    from hotmesh.cli.context import Context
    from hotmesh.telemetry import provider

    context = Context(load(call.flags), output, reload=lambda: load(call.flags))
    context.configure_logs(stays=False)
    service = f"hotmesh-{getattr(command, '__name__', 'cli')}"
    otel = context.loaded.settings.otel
    provider.configure(service, endpoint=otel.endpoint, sample=otel.sample)
    try:
        code = command(*bound.args, **bound.kwargs, **dict.fromkeys(filled, context))
        if inspect.iscoroutine(code):
            code = _in_loop(code)
    finally:
        provider.close()
    return int(code or EXIT_DONE)


def _in_loop(coroutine: Coroutine[Any, Any, int | None]) -> int | None:
    """Run in an event loop of uvloop: every command owns its process."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(coroutine)


def _show(loaded: Loaded, output: Output) -> None:
    shown = list(loaded.shown())
    if output.json:
        output.result({s.key: {"value": s.value, "origin": s.origin} for s in shown})
        return
    rows = [
        (s.key, "-" if s.value is None else s.value, s.origin, s.flag, s.variable) for s in shown
    ]
    output.table(("setting", "value", "from", "flag", "variable"), rows)


def _single(exc: Exception) -> Exception:
    """What is in a group of one: task groups wrap what their task raised."""
    while isinstance(exc, ExceptionGroup) and len(exc.exceptions) == 1:
        exc = exc.exceptions[0]
    if isinstance(exc, ExceptionGroup):
        known = [e for e in exc.exceptions if isinstance(e, HotMeshError)]
        return known[0] if known else exc
    return exc

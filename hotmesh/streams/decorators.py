"""Decorators of an app beside agents: timers, crontabs, tasks, commands, hooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hotmesh.durations import Duration, parse
from hotmesh.errors import SettingsInvalid
from hotmesh.streams.schedule import Crontab, Task, Timer

F = TypeVar("F", bound=Callable[..., Any])

HOOKS = ("start", "stop", "assigned", "revoked")


class Decorators:
    """What an app was told to run.

    Attributes:
        timers, tasks: In the order of their decorators.
        commands: Of `app.main()`, by name.
        hooks: By their names, see `HOOKS`.
    """

    def __init__(self) -> None:
        self.timers: list[Timer | Crontab] = []
        self.tasks: list[Task] = []
        self.commands: dict[str, Callable[..., Any]] = {}
        self.hooks: dict[str, list[Callable[..., Any]]] = {name: [] for name in HOOKS}

    def timer(
        self, interval: Duration, *, name: str | None = None, on_leader: bool = False
    ) -> Callable[[F], F]:
        """Decorator: run a function every so often, in every process; `on_leader`: in one."""
        every_ms = parse(interval)
        if every_ms < 1:
            raise SettingsInvalid(
                f"the interval of a timer is at least a millisecond, not {interval!r}"
            )

        def decorate(function: F) -> F:
            self.timers.append(Timer(name or function.__name__, function, every_ms, on_leader))
            return function

        return decorate

    def crontab(
        self, expression: str, *, name: str | None = None, on_leader: bool = True
    ) -> Callable[[F], F]:
        """Decorator: run a function when a cron expression matches (UTC), once over the fleet."""

        def decorate(function: F) -> F:
            self.timers.append(Crontab(name or function.__name__, function, expression, on_leader))
            return function

        return decorate

    def task(self, function: F | None = None, *, on_leader: bool = False) -> Any:
        """Decorator: run a function in every process once it has started; `on_leader`: in the
        first one.
        """

        def decorate(wanted: F) -> F:
            self.tasks.append(Task(wanted.__name__, wanted, on_leader))
            return wanted

        return decorate(function) if function is not None else decorate

    def command(self, name: str | None = None) -> Callable[[F], F]:
        """Decorator: a command of `app.main()`; its parameters become arguments and options."""

        def decorate(function: F) -> F:
            self.commands[name or function.__name__.replace("_", "-")] = function
            return function

        return decorate

    def _hook(self, name: str, function: F) -> F:
        self.hooks[name].append(function)
        return function

    def on_start(self, function: F) -> F:
        """Decorator: called when a worker has connected, before it takes partitions."""
        return self._hook("start", function)

    def on_stop(self, function: F) -> F:
        """Decorator: called when a worker has let go of its partitions."""
        return self._hook("stop", function)

    def on_assigned(self, function: F) -> F:
        """Decorator: `function(partition)` when one is taken."""
        return self._hook("assigned", function)

    def on_revoked(self, function: F) -> F:
        """Decorator: `function(partition)` when one was let go of or lost."""
        return self._hook("revoked", function)

"""Settings of the `hotmesh` command and of services: one struct per component, one loader.

A flag beats a variable beats the file: `hotmesh.toml`, or `[tool.hotmesh]` of `pyproject.toml`, in
the working directory. Only `load` looks at the environment and at files; the structs say what there
is, its defaults and its bounds, and each complaint gives the setting's three names.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Struct

from hotmesh.durations import parse
from hotmesh.errors import DurationInvalid, SettingsInvalid

FILE, PROJECT_FILE, PROJECT_TABLE = "hotmesh.toml", "pyproject.toml", "hotmesh"
OF_ROUTER = ("routes", "emits")
"""Tables of the file that are no settings: `hotmesh.routing` reads and checks them."""

PREFIX = "HOTMESH_"
DEFAULT = "default"
"""The origin of a value that nobody has set."""

Time = str | int | float
"""A duration as `hotmesh.durations` reads it; a number counts seconds."""

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]


class Connection(Struct, frozen=True, kw_only=True):
    """Where the server is.

    Attributes:
        redis: A URL; None for the embedded server.
        home: The directory of the embedded server; None for `.hotmesh` in the working directory.
        wait: How long a process that stays waits for its server when it starts. One that ends
            does not wait.
    """

    redis: str | None = None
    home: str | None = None
    wait: Time = "1m"

    def __post_init__(self) -> None:
        _at_least_ms("wait", self.wait, 0)


class Mesh(Struct, frozen=True, kw_only=True):
    """The app, and what all its processes must agree on.

    Attributes:
        app: The id of the app; None for what a model on the command line says.
        namespace: The prefix of all keys.
        lease: How long a silent process keeps what it holds; at least 500ms.
        partitions: Fixed when the app is first used; None takes what it has.
        payload_bytes_max: The size of one payload, input or answer.
    """

    app: str | None = None
    namespace: str = "hm"
    lease: Time = "30s"
    partitions: int | None = None
    payload_bytes_max: int = 1_048_576

    def __post_init__(self) -> None:
        _at_least_ms("lease", self.lease, 500)
        if self.partitions is not None:
            _between("partitions", self.partitions, 1, 256)
        _between("payload_bytes_max", self.payload_bytes_max, 1_024, 512 * 1_048_576)


class Engine(Struct, frozen=True, kw_only=True):
    """Bounds of an engine.

    Attributes:
        batch: Entries taken at once.
        steps_max: Activities that one transition enters before it goes on with another entry.
        backlog_max: Entries in a worker stream above which new jobs that would add to it are
            refused; 0 for no bound.
        deliveries_max: Deliveries of an entry before it goes to the dead letters.
        allow_eviction: Accept a server that may evict keys. Jobs can vanish then.
        versions_kept: Versions that were active before and whose plans are kept to go back to.
        trace_split: A leg that is woken after more than this begins a trace of its own; 0 never.
    """

    batch: int = 200
    steps_max: int = 1_000
    backlog_max: int = 100_000
    deliveries_max: int = 10
    allow_eviction: bool = False
    versions_kept: int = 1
    trace_split: Time = "1h"

    def __post_init__(self) -> None:
        _between("engine.versions_kept", self.versions_kept, 0, 1_000)
        _at_least_ms("engine.trace_split", self.trace_split, 0)
        _between("engine.batch", self.batch, 1, 10_000)
        _between("engine.steps_max", self.steps_max, 1, 100_000)
        _between("engine.backlog_max", self.backlog_max, 0, 2**53)
        _between("engine.deliveries_max", self.deliveries_max, 1, 1_000)


class Worker(Struct, frozen=True, kw_only=True):
    """Bounds of a worker process.

    Attributes:
        concurrency: Calls at once of a function that says nothing itself.
        grace: How long calls may run on when the process is told to stop.
    """

    concurrency: int = 100
    grace: Time = "30s"

    def __post_init__(self) -> None:
        _between("worker.concurrency", self.concurrency, 1, 10_000)
        _at_least_ms("worker.grace", self.grace, 0)


class Router(Struct, frozen=True, kw_only=True):
    """Bounds of a router process; its routes are the tables `[routes.<name>]`.

    Attributes:
        group: The consumer group; processes of one share the entries.
        concurrency: Entries at once of a route that says nothing itself.
        grace: How long entries in hand may take when the process is told to stop.
    """

    group: str = "router"
    concurrency: int = 100
    grace: Time = "30s"

    def __post_init__(self) -> None:
        _between("router.concurrency", self.concurrency, 1, 10_000)
        _at_least_ms("router.grace", self.grace, 0)


class Log(Struct, frozen=True, kw_only=True):
    """Logs; they go to stderr.

    Attributes:
        level: None for `info` in a process that stays, `warning` in a command that ends.
        format: `auto` is `console` on a terminal and `json` elsewhere.
    """

    level: LogLevel | None = None
    format: LogFormat = "auto"


class Otel(Struct, frozen=True, kw_only=True):
    """Traces and metrics by OpenTelemetry; its own variables (`OTEL_…`) do the same and more.

    Attributes:
        endpoint: Base URL of a collector that takes OTLP over HTTP, such as
            `http://localhost:4318`; None leaves it to the variables.
        sample: Which share of the runs that this process starts is traced, 0 to 1.
    """

    endpoint: str | None = None
    sample: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise SettingsInvalid(
                f"otel.sample lies between 0 and 1, not {self.sample}; "
                f"{_called(NAMES['otel.sample'])}"
            )
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise SettingsInvalid(
                "otel.endpoint is a URL of http or https, such as http://localhost:4318; "
                f"{_called(NAMES['otel.endpoint'])}"
            )


class Admin(Struct, frozen=True, kw_only=True):
    """Health, metrics and operations over HTTP.

    Attributes:
        bind: `[HOST:]PORT`, on loopback without a host; None for no admin (`hotmesh dev` takes
            8642 then), `off` for none there either.
        token: What callers must show; needed for any host but loopback.
    """

    bind: str | None = None
    token: str | None = None


RELOADED = frozenset({"log.level", "log.format"})
"""What SIGHUP changes; everything else takes a restart."""


class Settings(Struct, frozen=True, kw_only=True):
    """All of them, by component."""

    connection: Connection = msgspec.field(default_factory=Connection)
    mesh: Mesh = msgspec.field(default_factory=Mesh)
    engine: Engine = msgspec.field(default_factory=Engine)
    worker: Worker = msgspec.field(default_factory=Worker)
    router: Router = msgspec.field(default_factory=Router)
    log: Log = msgspec.field(default_factory=Log)
    admin: Admin = msgspec.field(default_factory=Admin)
    otel: Otel = msgspec.field(default_factory=Otel)


class Name(Struct, frozen=True):
    """What one setting is called.

    Attributes:
        key: In the file, `table.name` where it is in a table.
        component: The field of `Settings` that holds it.
        flag: Of the command line. `--set KEY=VALUE` names every setting; these have one of their
            own.
        variable: In the environment.
        is_secret: The value is shown masked.
    """

    key: str
    component: str
    flag: str
    variable: str
    is_secret: bool = False

    @property
    def field(self) -> str:
        """The field of the component's struct."""
        return self.key.rpartition(".")[2]


_COMPONENTS: dict[str, type[Struct]] = get_type_hints(Settings)
_AT_THE_TOP = ("connection", "mesh")  # whose keys stand in the file without a table
_FLAGS = {
    "redis": "--redis",
    "home": "--home",
    "wait": "--wait",
    "app": "--app",
    "namespace": "--namespace",
    "lease": "--lease",
    "partitions": "--partitions",
    "worker.concurrency": "--concurrency",
    "worker.grace": "--grace",
    "log.level": "--log-level",
    "log.format": "--log-format",
    "admin.bind": "--admin",
    "otel.endpoint": "--otlp",
    "otel.sample": "--trace-sample",
}
_VARIABLES = {
    "redis": "HOTMESH_REDIS_URL",
    "engine.trace_split": "HOTMESH_TRACE_SPLIT",
}
"""The others follow from their keys."""
_SECRETS = frozenset({"redis", "admin.token", "otel.endpoint"})


def _names() -> Iterator[Name]:
    for component, struct in _COMPONENTS.items():
        for field in struct.__struct_fields__:
            key = field if component in _AT_THE_TOP else f"{component}.{field}"
            flag = _FLAGS.get(key, f"--set {key}=")
            variable = _VARIABLES.get(key, PREFIX + key.replace(".", "_").upper())
            yield Name(key, component, flag, variable, key in _SECRETS)


NAMES: dict[str, Name] = {name.key: name for name in _names()}
"""Every setting, by its key."""


class Shown(Struct, frozen=True):
    """One setting for people: secrets are masked."""

    key: str
    value: Any
    origin: str
    flag: str
    variable: str


class Loaded(Struct, frozen=True):
    """Settings, and where each value comes from.

    Attributes:
        origins: By key: the flag, the variable, or the file. A setting that has its default is
            absent.
    """

    settings: Settings
    origins: dict[str, str]

    def origin(self, key: str) -> str:
        """Who set it, for messages: a flag, a variable, a file; or `default`."""
        return self.origins.get(key, DEFAULT)

    def changed(self, other: Loaded) -> list[str]:
        """The keys whose values differ."""
        mine = {s.key: s.value for s in self.values()}
        return [s.key for s in other.values() if s.value != mine[s.key]]

    def values(self) -> Iterator[Shown]:
        """Every setting as it is, secrets too."""
        for key, name in NAMES.items():
            value = getattr(getattr(self.settings, name.component), name.field)
            yield Shown(key, value, self.origin(key), name.flag.rstrip("="), name.variable)

    def shown(self) -> Iterator[Shown]:
        """Every setting, as `--show-config` prints it."""
        for one in self.values():
            if NAMES[one.key].is_secret and one.value is not None:
                shown = mask_url(one.value) if one.key == "redis" else "***"
                one = msgspec.structs.replace(one, value=shown)
            yield one


def load(
    flags: Mapping[str, str] | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    directory: Path | None = None,
) -> Loaded:
    """Read the settings.

    Args:
        flags: By key, as text: what the command line says.
        environ: The environment.
        directory: Where the file is looked for; the working directory.

    Raises:
        SettingsInvalid: A key that is not known, or a value that can't be used.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    weakest_first = chain(
        _from_file(directory or Path()), _from_environment(environ), _from_flags(flags or {})
    )
    for key, value, origin in weakest_first:
        values[key], origins[key] = value, origin
    return Loaded(_build(values), origins)


_Sourced = Iterator[tuple[str, Any, str]]  # key, value, origin


def _from_flags(flags: Mapping[str, str]) -> _Sourced:
    for key, text in flags.items():
        if key not in NAMES:
            raise SettingsInvalid(f"--set knows no {key!r}{_near(key, NAMES)}")
        name = NAMES[key]
        flag = name.flag.rstrip("=")
        yield key, _converted(name, text, flag, is_text=True), flag


def _from_environment(environ: Mapping[str, str]) -> _Sourced:
    by_variable = {name.variable: name for name in NAMES.values()}
    for variable, text in environ.items():
        name = by_variable.get(variable)
        if name is None and variable.startswith(PREFIX):
            # Only a near miss is refused: platforms inject variables of their own, Kubernetes
            # HOTMESH_SERVICE_HOST for a service called hotmesh.
            if near := _near(variable, by_variable, cutoff=0.85):
                raise SettingsInvalid(f"the variable {variable} is no setting{near}")
        elif name is not None and text:
            yield name.key, _converted(name, text, variable, is_text=True), variable


def _from_file(directory: Path) -> _Sourced:
    path, table = directory / FILE, _toml(directory / FILE)
    if table is None:
        path = directory / PROJECT_FILE
        project = (_toml(path) or {}).get("tool", {})
        table = project.get(PROJECT_TABLE, {}) if isinstance(project, dict) else {}
    if not isinstance(table, dict):
        raise SettingsInvalid(f"[tool.{PROJECT_TABLE}] of {path} is not a table")
    tables = {key.partition(".")[0] for key in NAMES if "." in key}
    for first, value in table.items():
        if first in OF_ROUTER:
            continue
        if isinstance(value, dict) and first in tables:
            for second, inner in value.items():
                yield _filed(f"{first}.{second}", inner, path)
        else:
            yield _filed(first, value, path)


def _filed(key: str, value: Any, path: Path) -> tuple[str, Any, str]:
    if key not in NAMES:
        raise SettingsInvalid(f"{path.name} has an unknown key {key!r}{_near(key, NAMES)}")
    return key, _converted(NAMES[key], value, path.name, is_text=False), path.name


def _toml(path: Path) -> dict[str, Any] | None:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise SettingsInvalid(f"{path.name} can't be read: {exc}") from exc


def _build(values: Mapping[str, Any]) -> Settings:
    parts: dict[str, dict[str, Any]] = {component: {} for component in _COMPONENTS}
    for key, value in values.items():
        parts[NAMES[key].component][NAMES[key].field] = value
    built: dict[str, Any] = {c: struct(**parts[c]) for c, struct in _COMPONENTS.items()}
    return Settings(**built)


def _converted(name: Name, value: Any, origin: str, *, is_text: bool) -> Any:
    wanted = get_type_hints(_COMPONENTS[name.component])[name.field]
    try:
        return msgspec.convert(value, wanted, strict=not is_text)
    except msgspec.ValidationError as exc:
        # A secret is not repeated, and a URL is a text: only its type can be wrong.
        said = "a value" if name.is_secret else repr(value)
        choices = [c for part in get_args(wanted) for c in (get_args(part) or [part])]
        texts = [c for c in choices if isinstance(c, str)]
        fault = f"it is one of {', '.join(texts)}" if texts else str(exc).replace("`", "")
        raise SettingsInvalid(f"{origin} gives {said:.200}: {fault}; {_called(name)}") from exc


# -- checks of the structs


def _between(key: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise SettingsInvalid(
            f"{key} lies between {low:,} and {high:,}, not {value:,}; {_called(NAMES[key])}"
        )


def _at_least_ms(key: str, value: Time, low_ms: int) -> None:
    try:
        ms = parse(value)
    except DurationInvalid as exc:
        raise SettingsInvalid(f"{key}: {exc}; {_called(NAMES[key])}") from exc
    if ms < low_ms:
        raise SettingsInvalid(f"{key} is at least {low_ms} ms, not {ms}; {_called(NAMES[key])}")


def called(key: str) -> str:
    """How to set something, in its three names."""
    return _called(NAMES[key])


def _called(name: Name) -> str:
    flag = name.flag + ("…" if name.flag.endswith("=") else "")
    return f"set it with {flag}, {name.variable} or {name.key!r} in {FILE}"


def _near(name: str, known: Mapping[str, Any], *, cutoff: float = 0.5) -> str:
    close = get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=cutoff)
    by_folded = {k.lower(): k for k in known}
    return f"; did you mean {by_folded[close[0]]!r}?" if close else ""


# -- masking

_USER = re.compile(r"[A-Za-z0-9._~%-]*")
_HIDDEN = re.compile(r"((?:ssl_)?password=)[^&]*")


def mask_url(url: str) -> str:
    """A URL without its password.

    What can't be told apart is hidden: a password with an unescaped `@`, `/` or `?` splits a URL in
    surprising places.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:
        return "***"
    if "@" in rest.partition("?")[2]:
        return f"{scheme}://***"
    sign_in, at, place = rest.rpartition("@")
    user, colon, _ = sign_in.partition(":")
    who = (user if _USER.fullmatch(user) else "***") + (":***" if colon else "")
    hidden = _HIDDEN.sub(r"\1***", place)
    return f"{scheme}://{who}{at}{hidden}"

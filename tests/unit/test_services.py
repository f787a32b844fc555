"""What the deployment files name exists: commands, flags, settings, files, ports and streams."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from hotmesh.cli.main import COMMANDS, build, main
from hotmesh.cli.usage import GLOBAL_FLAGS
from hotmesh.durations import parse
from hotmesh.lifecycle import DRAIN_MARGIN_S
from hotmesh.settings import Settings, load
from hotmesh.store import GROUP_ENGINE, GROUP_WORKER, Keys

ROOT = Path(__file__).parents[2]
FILES = [p for top in ("services", "contrib") for p in (ROOT / top).rglob("*") if p.is_file()]
FILES = [p for p in FILES if "__pycache__" not in p.parts]
SERVICES = sorted(p.name for p in (ROOT / "services").iterdir() if (p / "main.py").is_file())
MANIFESTS = sorted((ROOT / "services").glob("*/kubernetes.yaml"))
GRACE_S = parse(Settings().worker.grace) / 1000

HAS_ADMIN = find_spec("hotmesh.admin") is not None
HAS_ROUTER = find_spec("hotmesh.routing") is not None
"""Both come by branches of their own; what the files say of them is checked once they are there."""

VARIABLES = {shown.variable for shown in load({}, environ={}).shown()}
COMMAND_NAMES = {command.name for command in COMMANDS} | (set() if HAS_ROUTER else {"router"})
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def variables_of(text: str) -> set[str]:
    found = set(re.findall(r"HOTMESH_[A-Z_]*[A-Z]", text))
    return {v for v in found if HAS_ADMIN or not v.startswith("HOTMESH_ADMIN")}


def flags_of(command: str, arguments: list[str]) -> set[str]:
    """The options of a command, and those of all."""
    app = build()[command]
    if app.default_command is None:  # it only groups others
        app = app[arguments[0].rstrip(",.")]
    collection = app.assemble_argument_collection()
    own = {name for argument in collection for name in argument.names}
    return own | set(GLOBAL_FLAGS)


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_settings_exist(file: Path) -> None:
    text = file.read_text()

    assert variables_of(text) <= VARIABLES
    if file.suffix not in (".md", ".py"):
        lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        named = re.findall(r"\bhotmesh ([a-z]+)\b", lines)
        named += re.findall(r"""\["?hotmesh"?, "?([a-z]+)""", lines)
        assert set(named) <= COMMAND_NAMES
    for source in re.findall(r"^COPY (\S+(?: \S+)*) \S+$", text, re.M):
        assert all((ROOT / name).exists() for name in source.split())
    for extras in re.findall(r"pip install \S+ '\.\[([a-z,]+)\]'", text):
        assert {e for e in extras.split(",") if e != "admin" or HAS_ADMIN} <= set(EXTRAS)


def command_lines(text: str) -> Iterator[list[str]]:
    """`hotmesh …` of units, shell hooks and shell blocks."""
    for line in re.findall(r"(?:^|[ '/])hotmesh ([a-z]+(?: [^\n'|#]*)?)", text, re.M):
        yield [word for word in shlex.split(line, posix=False) if not word.startswith("$")]


@pytest.mark.parametrize(
    "file", [f for f in FILES if f.suffix in (".service", ".yaml")], ids=lambda p: p.name
)
def test_flags_of_commands_exist(file: Path) -> None:
    lines = [x for x in file.read_text().splitlines() if not x.lstrip().startswith("#")]
    for command, *arguments in command_lines("\n".join(lines)):
        assert command in COMMAND_NAMES
        if command == "router" and not HAS_ROUTER:
            continue
        flags = {a.partition("=")[0] for a in arguments if re.match(r"-{1,2}[A-Za-z]", a)}
        assert flags <= flags_of(command, arguments), (file.name, command)


@pytest.mark.parametrize("file", [f for f in FILES if f.suffix == ".yaml"], ids=lambda p: p.name)
def test_what_compose_files_refer_to_exists(file: Path) -> None:
    for content in YAML(typ="safe").load_all(file.read_text()):
        for service in content.get("services", {}).values():
            if not isinstance(service, dict):
                continue
            if build := service.get("build"):
                assert (file.parent / build["context"] / build["dockerfile"]).exists()
            if other := service.get("extends"):
                named = YAML(typ="safe").load((file.parent / other["file"]).read_text())
                assert other["service"] in named["services"]
            for volume in service.get("volumes", ()):
                if volume.startswith("."):
                    assert (file.parent / volume.split(":")[0]).exists()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_a_program_of_few_lines_that_is_the_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = ROOT / "services" / name
    program = (folder / "main.py").read_text()

    assert len(program.splitlines()) <= 40
    assert f'main(["{name}", "--json", *sys.argv[1:]])' in program
    assert main([name, "--json", "--show-config"]) == 0
    assert '"redis"' in capsys.readouterr().out
    for part in ("README.md", "Dockerfile", f"hotmesh-{name}.service", "kubernetes.yaml"):
        assert (folder / part).is_file(), part
    compose = YAML(typ="safe").load((ROOT / "services/compose.yaml").read_text())
    assert name in compose["services"]


def documents(file: Path) -> dict[str, Any]:
    found = [d for d in YAML(typ="safe").load_all(file.read_text()) if d is not None]
    return {document["kind"]: document for document in found}


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda p: p.parent.name)
def test_a_manifest_fits_its_service(file: Path) -> None:
    role, parts = file.parent.name, documents(file)
    deployment, budget = parts["Deployment"], parts["PodDisruptionBudget"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert role in COMMAND_NAMES
    assert deployment["metadata"]["name"] == f"hotmesh-{role}"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["maxUnavailable"] >= 1  # or no node could ever be drained
    assert container["image"].startswith(f"hotmesh-{role}:")
    assert {e["name"] for e in container["env"]} <= VARIABLES or not HAS_ADMIN
    assert f"HOTMESH_ADMIN_BIND, value: '0.0.0.0:{container['ports'][0]['containerPort']}'" in (
        file.read_text()
    )
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["name"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    started_s = (
        container["startupProbe"]["periodSeconds"] * (container["startupProbe"]["failureThreshold"])
    )
    wait = next(e["value"] for e in container["env"] if e["name"] == "HOTMESH_WAIT")
    assert started_s > parse(wait) / 1000


@pytest.mark.skipif(not HAS_ADMIN, reason="the admin comes by a branch of its own")
def test_the_paths_of_probes_are_served() -> None:
    from hotmesh.admin.endpoints import ENDPOINTS  # type: ignore[import-not-found, unused-ignore]

    is_open = {endpoint.path for endpoint in ENDPOINTS if endpoint.is_open}
    assert {"/healthz", "/readyz"} <= is_open


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda p: p.parent.name)
def test_a_pod_has_the_time_to_drain(file: Path) -> None:
    pod = documents(file)["Deployment"]["spec"]["template"]["spec"]
    needs_s = GRACE_S + DRAIN_MARGIN_S if file.parent.name != "quorum" else DRAIN_MARGIN_S
    hook = pod["containers"][0].get("lifecycle", {}).get("preStop")
    if hook:
        script = " ".join(hook["exec"]["command"])
        needs_s += parse(re.findall(r"--timeout (\S+)", script)[0]) / 1000

    assert (hook is not None) == (file.parent.name in ("engine", "worker"))
    assert pod["terminationGracePeriodSeconds"] > needs_s


@pytest.mark.parametrize("role", ["engine", "worker"])
def test_scaling_looks_at_streams_that_are_read(role: str) -> None:
    scaled = documents(ROOT / "services" / role / "kubernetes.yaml")["ScaledObject"]
    (partition,) = Keys("hm", "quickstart").partitions
    expected = {
        "engine": (partition.engine, GROUP_ENGINE),
        "worker": (partition.worker("greet"), GROUP_WORKER),
    }

    assert scaled["spec"]["scaleTargetRef"]["name"] == f"hotmesh-{role}"
    for trigger in scaled["spec"]["triggers"]:
        facts = trigger["metadata"]
        assert (facts["stream"], facts["consumerGroup"]) == expected[role]
        assert int(facts["lagCount"]) > 0


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_gives_it_the_time_to_drain_and_reloads_it(name: str) -> None:
    unit = (ROOT / "services" / name / f"hotmesh-{name}.service").read_text()

    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) > GRACE_S + DRAIN_MARGIN_S
    assert "ExecReload=/bin/kill -HUP $MAINPID" in unit

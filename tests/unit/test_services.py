"""What the deployment files name exists: commands, settings, files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hotmesh.cli.main import COMMANDS
from hotmesh.settings import load

ROOT = Path(__file__).parents[2]
CODE = (".py", ".pyc", ".json")
FILES = [
    p
    for top in ("services", "contrib")
    for p in (ROOT / top).rglob("*")
    if p.is_file() and p.suffix not in CODE
]


@pytest.mark.parametrize("file", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_settings_exist(file: Path) -> None:
    text = file.read_text()
    variables = {shown.variable for shown in load({}).shown()}
    commands = {command.name for command in COMMANDS}

    assert set(re.findall(r"HOTMESH_[A-Z_]*[A-Z]", text)) <= variables
    named = re.findall(r"""\bhotmesh"?,? "?([a-z]+)""", text) if "README" not in file.name else []
    assert set(named) <= commands
    for source in re.findall(r"^COPY (\S+(?: \S+)*) \S+$", text, re.M):
        assert all((ROOT / name).exists() for name in source.split())


@pytest.mark.parametrize("file", [f for f in FILES if f.suffix == ".yaml"], ids=lambda p: p.name)
def test_what_compose_files_refer_to_exists(file: Path) -> None:
    content = YAML(typ="safe").load(file.read_text())

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

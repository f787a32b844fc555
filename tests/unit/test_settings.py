"""Settings: who wins, what is refused, what is masked."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from hotmesh.errors import SettingsInvalid
from hotmesh.settings import NAMES, Loaded, Settings, load, mask_url

ROOT = Path(__file__).parents[2]


def loaded(directory: Path, flags: dict[str, str] | None = None, **environ: str) -> Loaded:
    return load(flags, environ=environ, directory=directory)


def test_defaults_need_no_file_and_no_variable(tmp_path: Path) -> None:
    result = loaded(tmp_path)

    assert result.settings == Settings()
    assert {s.origin for s in result.shown()} == {"default"}


def test_a_flag_beats_a_variable_beats_the_file(tmp_path: Path) -> None:
    (tmp_path / "hotmesh.toml").write_text('app = "f"\nlease = "1m"\nnamespace = "ff"\n')

    result = loaded(tmp_path, {"app": "flag"}, HOTMESH_APP="v", HOTMESH_LEASE="2m")

    mesh = result.settings.mesh
    assert (mesh.app, mesh.lease, mesh.namespace) == ("flag", "2m", "ff")
    origins = [result.origin(key) for key in ("app", "lease", "namespace", "partitions")]
    assert origins == ["--app", "HOTMESH_LEASE", "hotmesh.toml", "default"]


def test_pyproject_is_read_where_there_is_no_file_of_our_own(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[tool.hotmesh]\napp = "p"\n[tool.hotmesh.worker]\nconcurrency = 7\n'
    )

    settings = loaded(tmp_path).settings
    assert (settings.mesh.app, settings.worker.concurrency) == ("p", 7)

    (tmp_path / "hotmesh.toml").write_text('app = "own"\n')
    settings = loaded(tmp_path).settings
    assert (settings.mesh.app, settings.worker.concurrency) == ("own", 100)


def test_a_pyproject_of_others_is_no_concern(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.other]\napp = "x"\n')

    assert loaded(tmp_path).settings == Settings()


def test_text_is_converted_and_the_file_is_typed(tmp_path: Path) -> None:
    flags = {"engine.allow_eviction": "true", "engine.batch": "50", "lease": "5"}
    settings = loaded(tmp_path, flags, HOTMESH_PARTITIONS="4").settings

    assert settings.engine.allow_eviction is True
    assert (settings.engine.batch, settings.mesh.partitions, settings.mesh.lease) == (50, 4, "5")

    (tmp_path / "hotmesh.toml").write_text('partitions = "4"\n')
    with pytest.raises(SettingsInvalid, match=r"hotmesh.toml gives '4'"):
        loaded(tmp_path)


def test_an_empty_variable_is_not_set(tmp_path: Path) -> None:
    assert loaded(tmp_path, HOTMESH_APP="", HOTMESH_LEASE="").settings == Settings()


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ('nmespace = "x"\n', "did you mean 'namespace'"),
        ("[worker]\nconcurency = 5\n", "did you mean 'worker.concurrency'"),
        ("[engine]\nbatches = 5\n", "did you mean 'engine.batch'"),
        ("[wrker]\nconcurrency = 5\n", "unknown key 'wrker'"),
        ('zzz = "x"\n', "unknown key 'zzz'$"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    tmp_path: Path, text: str, near: str
) -> None:
    (tmp_path / "hotmesh.toml").write_text(text)

    with pytest.raises(SettingsInvalid, match=near):
        loaded(tmp_path)


def test_an_unknown_flag_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"did you mean 'log\.level'"):
        loaded(tmp_path, {"log.levle": "info"})


def test_a_misspelt_variable_is_refused_and_those_of_platforms_are_not(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="did you mean 'HOTMESH_REDIS_URL'"):
        loaded(tmp_path, HOTMESH_REDIS="redis://x")

    injected = {"HOTMESH_SERVICE_HOST": "10.0.0.1", "HOTMESH_PORT_6379_TCP": "tcp://10.0.0.1:6379"}
    assert loaded(tmp_path, **injected, HOTMESH_DEBUG="1").settings == Settings()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("lease", "soon"),
        ("lease", "10ms"),
        ("partitions", "0"),
        ("partitions", "257"),
        ("partitions", "many"),
        ("payload_bytes_max", "1"),
        ("engine.batch", "0"),
        ("engine.steps_max", "0"),
        ("engine.backlog_max", "-1"),
        ("engine.deliveries_max", "0"),
        ("engine.allow_eviction", "perhaps"),
        ("worker.concurrency", "10001"),
        ("worker.grace", "-1s"),
        ("log.level", "loud"),
        ("log.format", "xml"),
    ],
)
def test_a_wrong_value_is_refused_with_the_three_names(
    tmp_path: Path, key: str, value: str
) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        loaded(tmp_path, {key: value})

    name, message = NAMES[key], str(caught.value)
    assert name.flag in message and name.variable in message and repr(name.key) in message
    assert "\n" not in message


def test_a_wrong_choice_is_refused_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="one of debug, info, warning, error"):
        loaded(tmp_path, HOTMESH_LOG_LEVEL="loud")


@pytest.mark.parametrize("text", ["app = ", "app = 'x", b"app = '\xff'"])
def test_a_broken_file_is_named(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "hotmesh.toml").write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(SettingsInvalid, match=r"^hotmesh.toml can't be read"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://u:secret@h:1/0", "redis://u:***@h:1/0"),
        ("redis://:sec@ret/x@h", "redis://:***@h"),
        ("redis://h/0?password=secret&db=1", "redis://h/0?password=***&db=1"),
        ("redis://h?password=sec@ret", "redis://***"),
        ("secret", "***"),
    ],
)
def test_the_password_of_a_url_is_masked(url: str, masked: str) -> None:
    assert mask_url(url) == masked


def test_shown_settings_hold_no_secret(tmp_path: Path) -> None:
    result = loaded(tmp_path, HOTMESH_REDIS_URL="redis://u:secret@h")

    shown = {s.key: s for s in result.shown()}
    assert shown["redis"].value == "redis://u:***@h"
    assert "secret" not in repr(shown)
    assert result.settings.connection.redis == "redis://u:secret@h"


def test_every_field_of_every_component_has_a_name() -> None:
    fields = {
        (component, field)
        for component in Settings.__struct_fields__
        for field in getattr(Settings(), component).__struct_fields__
    }

    assert {(n.component, n.field) for n in NAMES.values()} == fields
    assert len({n.variable for n in NAMES.values()}) == len(NAMES)
    assert len({n.flag for n in NAMES.values()}) == len(NAMES)


def test_every_setting_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/cli.md").read_text()

    for name in NAMES.values():
        assert f"| `{name.key}` | `{name.flag}` | `{name.variable}` |" in page


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().mesh.lease = "1s"  # type: ignore[misc]
    assert msgspec.to_builtins(Settings())["log"] == {"level": None, "format": "auto"}

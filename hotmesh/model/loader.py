"""A path, a YAML text or a dict → the typed model, with the place of everything in it.

What is refused here is what can't be read or has the wrong shape; what is wrong with a readable
model is found by `check`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model.compose import BYTES_MAX, KEEP_TEXT
from hotmesh.model.findings import Findings
from hotmesh.model.marks import Mark, Path, Position, locate, parse
from hotmesh.model.normal import normalise
from hotmesh.model.plain import plain
from hotmesh.model.refs import Files, Resolver, Source, read, too_large
from hotmesh.model.shape import convert_app
from hotmesh.model.types import App

_APP_KEYS = frozenset(("id", "version", "graphs", "settings", "validate"))


class Loaded:
    """A model as read.

    Attributes:
        app: The typed model.
        raw: The document with every `$ref` replaced, as plain values: `{"app": {…}}`.
        name: The file, or `<text>` or `<dict>`.
        warnings: What was read but is of no use.
    """

    __slots__ = ("_mark", "app", "name", "raw", "warnings")

    def __init__(
        self,
        app: App,
        raw: dict[str, Any],
        name: str,
        mark: Mark | None,
        warnings: tuple[Finding, ...] = (),
    ) -> None:
        self.app, self.raw, self.name, self.warnings = app, raw, name, warnings
        self._mark = mark

    def where(self, path: str | Path, *, key: bool = False) -> Position:
        """File, line and column of a place in the model, or of what is nearest above it.

        Args:
            path: As in findings, such as `graphs[0].activities.a1.input.maps.x`, or as a tuple of
                its parts.
            key: Point at the key rather than the value. Mappings and lists are always pointed at by
                their keys.

        Returns:
            Line and column count from 1, and are 0 for a dict.
        """
        parts = parse(path, self.raw["app"]) if isinstance(path, str) else path
        return _locate(self._mark, parts, key) or (self.name, 0, 0)


def load(
    source: str | os.PathLike[str] | Mapping[str, Any], *, base: FilePath | None = None
) -> Loaded:
    """Read a model.

    Args:
        source: A path object; a mapping; or text, which is YAML if it has more than one line or a
            `key: value`, and otherwise a path.
        base: The folder that `$ref` in a text or mapping starts from and may not lead out of. A
            file's own folder is its base.

    Raises:
        ModelInvalid: With everything that was found.
    """
    files, top = _read(source, base)
    value, mark = Resolver(files).resolve(top) if top.has_refs else (top.value, top.mark)
    findings = Findings(lambda path, key: _locate(mark, path, key) or (top.name, 0, 0))

    raw_app = _app_of(value, mark, top.name)
    texts: dict[Path, str] = {
        (name,): text
        for name in KEEP_TEXT
        if (text := files.texts.get(_locate(mark, (name,), False) or ("", 0, 0))) is not None
    }
    app = convert_app(normalise(raw_app, texts, findings), findings)
    if app is None or findings.errors:
        raise ModelInvalid(findings.errors)
    return Loaded(app, value, top.name, mark, tuple(findings.all))


def _locate(mark: Mark | None, path: Path, key: bool) -> Position | None:
    """The position of a path within `app`."""
    return locate(mark, ("app", *path), key=key)


def _read(source: Any, base: FilePath | None) -> tuple[Files, Source]:
    if isinstance(source, Mapping):
        files = Files(base, base or FilePath())
        value, has_refs = plain(source, "<dict>")
        return files, Source("<dict>", None, value, None, has_refs)
    if isinstance(source, str) and _is_text(source):
        if len(source) > BYTES_MAX or len(source.encode("utf-8", "surrogatepass")) > BYTES_MAX:
            raise ModelInvalid([too_large("<text>")])
        files = Files(base, base or FilePath())
        return files, files.compose(source.removeprefix("\ufeff"), "<text>", None)
    if not isinstance(source, (str, os.PathLike)):
        kind = type(source).__name__
        raise ModelInvalid(
            [Finding(f"a model is a path, a YAML text or a mapping, not {kind}", file=f"<{kind}>")]
        )
    path = FilePath(source)
    text = read(path, str(path))
    files = Files(path.parent, path.parent)
    return files, files.compose(text, str(path), path.resolve())


def _is_text(source: str) -> bool:
    """Whether a text is YAML, and not a path. No path of a model looks like any of these."""
    if "\n" in source or ": " in source or source.rstrip().endswith(":"):
        return True
    return not source.strip() or source.lstrip().startswith("{")


def _app_of(value: Any, mark: Mark | None, name: str) -> dict[str, Any]:
    """The value of `app`, if that is what the document holds, and nothing else.

    Raises:
        ModelInvalid: With everything that is wrong at the top.
    """
    findings = Findings(lambda path, key: locate(mark, path, key=key) or (name, 0, 0))
    if not isinstance(value, dict):
        findings.error(
            (),
            "a model is a mapping that begins with 'app:'; a path of a file has no spaces or "
            "colons",
        )
        raise ModelInvalid(findings.errors)
    near = ""
    for key in value:
        if key != "app":
            near = findings.near(key, ("app",)) or near
            hint = "; indent it below `app`" if key in _APP_KEYS else findings.near(key, ("app",))
            findings.error((key,), f"nothing but `app` stands at the top{hint}", key=True)
    if "app" not in value:
        if not near:
            findings.error((), "`app` is missing: a model begins with 'app:'")
    elif not isinstance(value["app"], dict):
        findings.error(("app",), "`app` must be a mapping with id, version and graphs", key=True)
    if findings.errors:
        raise ModelInvalid(findings.errors)
    app: dict[str, Any] = value["app"]
    return app

"""`$ref`: files that a model is made of, read once each and put in place, with their own positions.

A reference is `./file.yaml` or `./file.yaml#/pointer`, relative to the file that holds it, and
`#/pointer` within it. No file outside the model's folder is ever opened: a model may come from
somebody who should not read the rest.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import unquote

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model.compose import BYTES_MAX, DEPTH_MAX, NODES_MAX, Composed, compose
from hotmesh.model.findings import near
from hotmesh.model.marks import Mark, Path, locate, render

# Keys whose values are JSON Schema, in which `#/…` is the schema's own reference if it leads
# anywhere there.
_SCHEMA_KEYS = frozenset(("schema", "hook"))

_FAULTS_MAX = 50
_INDEX = re.compile(r"[0-9]{1,9}")


@dataclass(slots=True, frozen=True)
class Source:
    """A file as read.

    Attributes:
        name: What it is called in findings.
        path: Where it really is; None for a text or dict.
        value, mark: Its content. `mark` is None for a dict.
    """

    name: str
    path: FilePath | None
    value: Any
    mark: Mark | None
    has_refs: bool


@dataclass(slots=True, frozen=True)
class _Here:
    """Where the walk is.

    Attributes:
        chain: File and pointer of every reference that led here.
        model: The path in the model of what that last reference was replaced by.
        skip: How many leading parts of a path within the file are its pointer's.
        schema: The JSON Schema that surrounds this place.
    """

    source: Source
    chain: tuple[tuple[str, str], ...]
    model: Path = ()
    skip: int = 0
    schema: Any = None

    def place(self, path: Path) -> Path:
        """The path in the model of a path in the file."""
        return self.model + path[self.skip :]


class Files:
    """The files of one model.

    Args:
        root: The folder that nothing may lead out of; None when references can't be followed.
        shown: How that folder is written in findings.
    """

    def __init__(self, root: FilePath | None, shown: FilePath) -> None:
        self.root = root.resolve() if root is not None else None
        self.texts: dict[tuple[str, int, int], str] = {}
        self.nodes = 0
        self._shown = shown
        self._sources: dict[FilePath, Source] = {}
        self._failed: dict[FilePath, ModelInvalid] = {}

    def compose(self, text: str, name: str, path: FilePath | None) -> Source:
        """A YAML text as a source.

        Raises:
            ModelInvalid: As `compose`.
        """
        composed, nodes = compose(text, name, nodes_max=NODES_MAX - self.nodes)
        self.nodes += nodes
        self._keep_texts(composed, name)
        source = Source(name, path, composed.value, composed.mark, composed.has_refs)
        if path is not None:
            self._sources[path] = source
        return source

    def open(self, path: FilePath) -> Source:
        """A file within the root, read once.

        Raises:
            ModelInvalid: As `compose`, or it can't be read.
        """
        if path in self._failed:
            raise self._failed[path]
        if path in self._sources:
            return self._sources[path]
        assert self.root is not None  # without a root no reference gets as far as a path
        name = str(self._shown / os.path.relpath(path, self.root))
        try:
            return self.compose(read(path, name), name, path)
        except ModelInvalid as exc:
            self._failed[path] = exc
            raise

    def _keep_texts(self, composed: Composed, name: str) -> None:
        for (line, column), text in composed.texts.items():
            self.texts[name, line + 1, column + 1] = text


class Resolver:
    """Replaces every `$ref` in a value, collecting what is wrong."""

    def __init__(self, files: Files) -> None:
        self.faults: list[Finding] = []
        self._files, self._nodes = files, 0

    def resolve(self, source: Source) -> tuple[Any, Mark | None]:
        """The source's value with everything in place.

        Raises:
            ModelInvalid: With every reference that can't be followed.
        """
        value, mark = self._walk(source.value, source.mark, (), _Here(source, ((source.name, ""),)))
        if self.faults:
            raise ModelInvalid(self.faults)
        return value, mark

    def _walk(
        self, value: Any, mark: Mark | None, path: Path, here: _Here
    ) -> tuple[Any, Mark | None]:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._stop(
                here,
                path,
                f"$ref makes this more than {NODES_MAX:,} values; split the app into several",
            )
        if len(here.place(path)) > DEPTH_MAX:
            self._stop(
                here, path, f"$ref nests this deeper than {DEPTH_MAX} levels; flatten the model"
            )
        if isinstance(value, dict):
            ref = value.get("$ref")
            if isinstance(ref, str) and not self._is_of_schema(ref, here):
                return self._follow(value, ref, path, here)
            return self._walk_children(value, value.items(), mark, path, here)
        if isinstance(value, list):
            return self._walk_children(value, enumerate(value), mark, path, here)
        return value, mark

    def _walk_children(
        self, value: Any, items: Any, mark: Mark | None, path: Path, here: _Here
    ) -> tuple[Any, Mark | None]:
        built: Any = {} if isinstance(value, dict) else []
        # What came from a mapping has no place, but files below it have.
        moved = Mark(here.source.name, (-1, -1)) if mark is None else Mark(mark.file, mark.spot)
        if mark is not None:
            moved.keys = mark.keys
        for key, child in items:
            spot = None if mark is None else mark.children.get(key)
            begins = here.schema is None and key in _SCHEMA_KEYS
            there = replace(here, schema=child) if begins else here
            child_mark = spot if isinstance(spot, Mark) else None
            new, new_mark = self._walk(child, child_mark, (*path, key), there)
            if isinstance(built, dict):
                built[key] = new
            else:
                built.append(new)
            if (at := new_mark or spot) is not None:
                moved.children[key] = at
        return built, moved if mark is not None or moved.children else None

    def _is_of_schema(self, ref: str, here: _Here) -> bool:
        if here.schema is None or not ref.startswith("#"):
            return False
        try:
            _find(here.schema, ref[1:])
        except _Nowhere:
            return False
        return True

    def _follow(
        self, value: dict[str, Any], ref: str, path: Path, here: _Here
    ) -> tuple[Any, Mark | None]:
        at: Path = (*path, "$ref")
        if len(value) > 1:
            other = next(key for key in value if key != "$ref")
            return self._fail(
                here,
                (*path, other),
                f"{other!r:.100} stands beside $ref, which replaces all; remove one",
            )
        name, _, pointer = ref.partition("#")
        try:
            source = self._open(name, at, here) if name else here.source
        except ModelInvalid as exc:
            self.faults.extend(f for f in exc.findings if f not in self.faults)
            return None, None
        if source is None:
            return None, None
        link = (source.name, pointer)
        if link in here.chain:
            chain = " → ".join(file + (f"#{p}" if p else "") for file, p in (*here.chain, link))
            return self._fail(here, at, f"$ref goes round in a circle: {chain}; break it")
        try:
            target, parts = _find(source.value, pointer)
        except _Nowhere as exc:
            return self._fail(here, at, f"{source.name} has nothing at '#{pointer}'{exc}")
        mark = _mark_at(source.mark, parts)
        schema = target if here.schema is value else here.schema
        there = _Here(source, (*here.chain, link), here.place(path), len(parts), schema)
        new, new_mark = self._walk(target, mark, parts, there)
        return new, new_mark or mark

    def _open(self, name: str, at: Path, here: _Here) -> Source | None:
        files = self._files
        if "://" in name or name.startswith(("/", "\\", "~")) or "\0" in name:
            self._fail(
                here, at, f"$ref {name!r:.200} must be a relative path such as './graphs/send.yaml'"
            )
            return None
        if files.root is None:
            self._fail(
                here,
                at,
                "$ref needs a folder to start from: give the model as a path, or pass base=",
            )
            return None
        folder = here.source.path.parent if here.source.path is not None else files.root
        try:
            path = (folder / unquote(name)).resolve()
            inside = path.is_relative_to(files.root)
        except (OSError, RuntimeError, ValueError):  # a circle of links, a name with a NUL
            inside = False
        if not inside:
            self._fail(
                here,
                at,
                f"$ref {name!r:.200} leads out of the model's folder; move the file inside",
            )
            return None
        try:
            return files.open(path)
        except ModelInvalid as exc:
            if exc.findings[0].line == 0:  # the file as such: say who wanted it
                self._fail(here, at, f"$ref {name!r:.200}: {exc.findings[0].message}")
                return None
            raise

    def _fail(self, here: _Here, path: Path, message: str) -> tuple[None, None]:
        file, line, column = locate(here.source.mark, path) or (here.source.name, 0, 0)
        place = here.place(path)
        shown = render(place[1:] if place[:1] == ("app",) else place)
        self.faults.append(Finding(message, path=shown, file=file, line=line, column=column))
        if len(self.faults) >= _FAULTS_MAX:
            raise ModelInvalid(self.faults)
        return None, None

    def _stop(self, here: _Here, path: Path, message: str) -> None:
        self._fail(here, path, message)
        raise ModelInvalid(self.faults)


def read(path: FilePath, name: str) -> str:
    """The text of a file.

    Raises:
        ModelInvalid: It can't be read, is too large, or is not UTF-8. Without a line if the file as
            such is at fault.
    """
    try:
        if not path.is_file():
            what = (
                "is a folder"
                if path.is_dir()
                else "is no file"
                if path.exists()
                else "does not exist"
            )
            raise ModelInvalid(
                [Finding(f"{what}; give the path of a model's YAML file", file=name)]
            )
        with path.open("rb") as stream:
            data = stream.read(BYTES_MAX + 1)
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the name
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise ModelInvalid([Finding(f"can't be read: {reason}", file=name)]) from exc
    if len(data) > BYTES_MAX:
        raise ModelInvalid([too_large(name)])
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise ModelInvalid(
            [Finding("the file is UTF-16; save it as UTF-8", file=name, line=1, column=1)]
        )
    try:
        return data.decode(
            "utf-8-sig"
        )  # a mark at the very beginning is legal in YAML, and some editors add it
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        column = exc.start - data.rfind(b"\n", 0, exc.start)
        raise ModelInvalid(
            [
                Finding(
                    "the file is not UTF-8 here; save it as UTF-8",
                    file=name,
                    line=line,
                    column=column,
                )
            ]
        ) from exc


def too_large(name: str) -> Finding:
    """The finding for a text over `BYTES_MAX`."""
    return Finding(f"over {BYTES_MAX >> 20} MiB; split the app into several", file=name)


class _Nowhere(Exception):
    """A pointer leads nowhere; the text is what to add to the message."""


def _find(value: Any, pointer: str) -> tuple[Any, Path]:
    """The value at a JSON pointer, and its path."""
    if pointer and not pointer.startswith("/"):
        raise _Nowhere("; a pointer begins with '#/'")
    path: list[str | int] = []
    for raw in pointer.split("/")[1:] if pointer != "/" else []:
        part = unquote(raw).replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and part in value:
            path.append(part)
        elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
            path.append(int(part))
        else:
            raise _Nowhere(near(part, value) if isinstance(value, dict) else "")
        value = value[path[-1]]
    return value, tuple(path)


def _mark_at(mark: Mark | None, path: Path) -> Mark | None:
    for part in path:
        if mark is None:
            return None
        spot = mark.children.get(part)
        mark = spot if isinstance(spot, Mark) or spot is None else Mark(mark.file, spot)
    return mark

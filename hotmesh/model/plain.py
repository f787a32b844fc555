"""A model given as a mapping → plain values of its own, within the same limits as a text.

The copy makes later changes of the caller's object harmless, and leaves one kind of value to every
later step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model.compose import DEPTH_MAX, NODES_MAX
from hotmesh.model.marks import Path, render

_FAULTS_MAX = 50


def plain(source: Mapping[Any, Any], name: str) -> tuple[dict[str, Any], bool]:
    """The copy, and whether it holds a key `$ref`.

    Raises:
        ModelInvalid: It holds something that YAML could not say, or is over a limit (as one that
            contains itself is).
    """
    copier = _Copier(name)
    value = copier.copy(source, ())
    if copier.faults:
        raise ModelInvalid(copier.faults)
    return value, copier.has_refs


class _Copier:
    def __init__(self, name: str) -> None:
        self.faults: list[Finding] = []
        self.has_refs = False
        self._name, self._nodes = name, 0

    def copy(self, value: Any, path: Path) -> Any:
        """The plain value of a value."""
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._stop(path, f"more than {NODES_MAX:,} values; split the app into several")
        if len(path) > DEPTH_MAX:
            self._stop(path, f"nested deeper than {DEPTH_MAX} levels; flatten the model")
        if value is None or isinstance(value, (bool, float)):
            return value
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, int):
            return self._integer(int(value), path)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, (list, tuple)):
            return [self.copy(item, (*path, index)) for index, item in enumerate(value)]
        self._fault(
            path,
            "a model holds texts, numbers, booleans, lists and mappings, not "
            f"{type(value).__name__}",
        )
        return None

    def _mapping(self, value: Mapping[Any, Any], path: Path) -> dict[str, Any]:
        copied: dict[str, Any] = {}
        for key, child in value.items():
            if isinstance(key, int) and not isinstance(key, bool):
                key = str(key)  # {503: [3]} reads as in YAML
            if not isinstance(key, str):
                self._fault(path, f"a key must be text, not {type(key).__name__}")
                continue
            name = self._text(key, path)
            if name in copied:
                self._fault(path, f"{name!r:.100} is here twice, as text and as number; keep one")
            self.has_refs = self.has_refs or name == "$ref"
            copied[name] = self.copy(child, (*path, name))
        return copied

    def _text(self, value: str, path: Path) -> str:
        text = str(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                self._fault(
                    path, "a text holds half of a surrogate pair; write the character itself"
                )
        return text

    def _integer(self, value: int, path: Path) -> int:
        if not -(1 << 63) <= value < 1 << 64:
            self._fault(path, "an integer over 64 bits can't be stored; give it as text")
            return 0
        return value

    def _fault(self, path: Path, message: str) -> None:
        self.faults.append(
            Finding(
                message, path=render(path[1:] if path[:1] == ("app",) else path), file=self._name
            )
        )
        if len(self.faults) >= _FAULTS_MAX:
            raise ModelInvalid(self.faults)

    def _stop(self, path: Path, message: str) -> None:
        self._fault(path, message)
        raise ModelInvalid(self.faults)

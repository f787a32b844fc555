"""Where things stand: a tree of positions beside the tree of values, and paths into both.

A path is a tuple of keys and indexes, `("graphs", 0, "activities", "a1")`; people read and write it
as `graphs[0].activities.a1`. Values that came from a dict have no marks, values that came through
`$ref` have marks of another file than what surrounds them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]
Spot: TypeAlias = tuple[int, int]
"""Line and column, both from 0 as ruamel counts them."""

Position: TypeAlias = tuple[str, int, int]
"""File, line and column, both from 1; 0 when the source has none."""

_INDEX = re.compile(r"\[(\d{1,9})\]")


class Mark:
    """The position of a mapping or list and of what is in it.

    A scalar of the same file is a bare `Spot` in its parent: a model of 10,000 activities has
    200,000 of them.
    """

    __slots__ = ("children", "file", "keys", "spot")

    def __init__(self, file: str, spot: Spot) -> None:
        self.file, self.spot = file, spot
        self.children: dict[str | int, Mark | Spot] = {}
        self.keys: dict[str, Spot] = {}


def locate(mark: Mark | None, path: Sequence[str | int], *, key: bool = False) -> Position | None:
    """The position of the value at `path`, or of what is nearest above it.

    Args:
        mark: The marks of the value that `path` starts from; None when it has none.
        path: Keys and indexes.
        key: Point at the key rather than at its value. A mapping or list that is a value is always
            pointed at by its key, since what it begins with may be many lines further down.
    """
    if mark is None:
        return None
    best = (mark.file, *mark.spot)
    for depth, part in enumerate(path):
        child = mark.children.get(part)
        if child is None:
            break
        last = depth == len(path) - 1
        moved = isinstance(child, Mark) and child.file != mark.file and not child.children
        at_key = (isinstance(child, Mark) and not moved) or (key and last)
        spot = mark.keys.get(part) if at_key and isinstance(part, str) else None
        if not isinstance(child, Mark):
            best = (mark.file, *(spot or child))
            break
        best = (mark.file, *spot) if spot else (child.file, *child.spot)
        mark = child
    file, line, column = best
    return file, line + 1, column + 1


def render(path: Sequence[str | int]) -> str:
    """The path as people read it: `graphs[0].activities.a1`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text[1:] if text.startswith(".") else text


def parse(text: str, root: Any) -> Path:
    """The longest path into `root` that `text` describes.

    Keys may hold dots (topics do), so a text is read along the tree: at each mapping the longest
    key that fits wins.
    """
    path: list[str | int] = []
    while text:
        found = _next(text, root)
        if found is None:
            break
        part, root, text = found
        path.append(part)
    return tuple(path)


def _next(text: str, value: Any) -> tuple[str | int, Any, str] | None:
    if isinstance(value, list):
        index = _INDEX.match(text)
        if index is None or int(index[1]) >= len(value):
            return None
        return int(index[1]), value[int(index[1])], text[index.end() :]
    if not isinstance(value, dict):
        return None
    text = text.removeprefix(".")
    ends = [m.start() for m in re.finditer(r"[.\[]|$", text)]
    for end in reversed(ends):
        if text[:end] in value:
            return text[:end], value[text[:end]], text[end:]
    return None

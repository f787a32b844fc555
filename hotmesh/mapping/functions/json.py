"""`{@json.…}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.javascript import UNDEFINED
from hotmesh.mapping.javascript import json as javascript_json


def stringify(v: Any = UNDEFINED, replacer: Any = UNDEFINED, space: Any = UNDEFINED) -> Any:
    return javascript_json.stringify(v, replacer, space)


def parse(text: Any = UNDEFINED) -> Any:
    return javascript_json.parse(text)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"parse": parse, "stringify": stringify}

"""`{@logical.…}`: like `&&` and `||` of JavaScript they give one of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from hotmesh.mapping.javascript import UNDEFINED, truthy


def and_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> Any:
    return b if truthy(a) else a


def or_(a: Any = UNDEFINED, b: Any = UNDEFINED) -> Any:
    return a if truthy(a) else b


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"and": and_, "or": or_}

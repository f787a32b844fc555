"""A route: which entries, what is made of them, and where it goes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from msgspec import Struct

from hotmesh.errors import MappingError, SettingsInvalid
from hotmesh.ids import check_topic
from hotmesh.mapping import (
    Env,
    compile_condition,
    compile_maps,
    compile_value,
    plain,
    references,
)

ROOTS = ("value", "key", "headers", "type", "topic", "id")
"""What a rule of a route may refer to, such as `{value.price}` or `{headers.source}`."""

Kind = Literal["workflow", "signal", "topic"]


class Match(Struct, frozen=True, forbid_unknown_fields=True):
    """Which entries a route takes; all that it says must hold.

    Attributes:
        type: Names of record types, or of the header `type`; a name may hold `*`.
        key: Patterns of keys, in which `*` and `?` stand for any text and any character.
        when: A rule of the mapping language that must give true, or a condition as transitions
            have it, `{"match": [{"expected": …, "actual": …}], "gate": "or"}`.
    """

    type: str | tuple[str, ...] = ()
    key: str | tuple[str, ...] = ()
    when: Any = None


class Target(Struct, frozen=True):
    """Where a route goes."""

    kind: Kind
    topic: str


class Rules:
    """A route's match and map, compiled."""

    def __init__(self, match: Match, maps: Any, *, path: str = "") -> None:
        """Compile them.

        Raises:
            MappingError: A rule can't work on any data; it begins with `path`.
        """
        self._types, self._keys = _listed(match.type), _listed(match.key)
        self._when = _condition(match.when, _at(path, "match.when"))
        self._maps = None
        if maps is not None:
            _check_roots(maps, _at(path, "map"))
            self._maps = compile_maps(maps, path=_at(path, "map"))

    def takes(self, context: Mapping[str, Any], now_ms: int) -> bool:
        """Whether an entry is meant.

        Raises:
            MappingError: The rule fails on these data.
        """
        if self._types and not _fits(context["type"], self._types):
            return False
        if self._keys and not _fits(context["key"], self._keys):
            return False
        return self._when is None or self._when(context, Env(now_ms, random.random))

    def mapped(self, context: Mapping[str, Any], now_ms: int) -> Any:
        """What the target gets: the value itself where there is no map."""
        if self._maps is None:
            return context["value"]
        return plain(self._maps(context, Env(now_ms, random.random)))


def target_of(to: str | None, signal: str | None, topic: str | None) -> Target:
    """The one target that is named.

    Raises:
        SettingsInvalid: None or several are. NameInvalid: It is no topic.
    """
    named = {"workflow": to, "signal": signal, "topic": topic}
    given: list[tuple[Any, str]] = [(kind, name) for kind, name in named.items() if name]
    if len(given) != 1:
        raise SettingsInvalid(
            "a route has one of to= (a workflow), signal= (a hook) and topic= (another topic)"
        )
    kind, name = given[0]
    return Target(kind, check_topic(name))


def _condition(rule: Any, path: str) -> Callable[[Any, Env], bool] | None:
    if rule is None:
        return None
    _check_roots(rule, path)
    if isinstance(rule, dict) and "@pipe" not in rule:
        unknown = set(rule) - {"match", "gate"}
        if unknown or "match" not in rule:
            raise MappingError(
                "a condition has 'match', and 'gate' when one of several suffices", where=path
            )
        _check_roots([m.get("actual") for m in rule["match"] if isinstance(m, dict)], path)
        holds = compile_condition(rule, path=path)
        return lambda context, env: holds(context, 200, env)
    run = compile_value(rule, path=path)
    return lambda context, env: run(context, env) is True


def _check_roots(rule: Any, path: str) -> None:
    for keys in references(rule):
        if keys[0] not in ROOTS:
            raise MappingError(
                f"{{{'.'.join(keys)}}} refers to nothing; references of a route begin with "
                f"{', '.join(ROOTS)}",
                where=path,
            )


def _listed(given: str | tuple[str, ...]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) and given else tuple(given)


def _fits(text: Any, patterns: tuple[str, ...]) -> bool:
    return isinstance(text, str) and any(fnmatchcase(text, p) for p in patterns)


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

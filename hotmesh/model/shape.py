"""What is wrong with the shape of a model: every unknown property, missing property and wrong kind
of value in one go.

`msgspec.convert` is fast and stops at the first fault, so it is asked first; only when it refuses
is the same value walked here, against the same structs.
"""

from __future__ import annotations

import re
from functools import cache
from inspect import cleandoc
from typing import Any

import msgspec
from msgspec import inspect

from hotmesh.model.activities import Activity
from hotmesh.model.findings import Findings
from hotmesh.model.marks import Path
from hotmesh.model.normal import without_ignored
from hotmesh.model.types import App

# Old and half-remembered activity types.
_TYPES = {
    "job": "trigger",
    "emit": "a property (emit: true), not a type",
    "exec": "worker",
}

# A property in the wrong place: what to say instead of listing what there is. By struct ("" for
# any) and name.
_MISPLACED = {
    ("Transition", "code"): "put it under `conditions`: {to: …, conditions: {code: …}}",
    ("Transition", "match"): "put it under `conditions`: {to: …, conditions: {match: […]}}",
    ("Transition", "gate"): "put it under `conditions`: {to: …, conditions: {gate: …}}",
    ("HookRule", "match"): "put it under `conditions`: {to: …, conditions: {match: […]}}",
    ("Await", "retry"): "an await is not repeated; give the worker of the awaited graph a `retry`",
    ("Cycle", "job"): "a cycle writes nothing; map it in the ancestor or in the activity before",
    ("Hook", "topic"): "its topic stands in the graph's `hooks` section: {topic: [{to: …}]}",
    ("Hook", "input"): "a hook has no input; map into `output` or `job`",
    ("Graph", "id"): "only the app has an id; a graph is known by `subscribes`",
    ("Graph", "schema"): "put it under `input` or `output`",
    ("Graph", "version"): "only the app has a version",
    ("Io", "map"): "it is called `maps`",
    ("", "maps"): "put it under `input`, `output` or `job`",
    ("", "schema"): "put it under `input` or `output`",
    ("", "subscribes"): "it belongs to the graph",
    ("", "publishes"): "it belongs to the graph",
    ("", "persistent"): "it belongs to the graph",
    ("", "expire"): "it belongs to the graph",
    ("", "transitions"): "it belongs to the graph, beside `activities`; check the indentation",
    ("", "hooks"): "it belongs to the graph, beside `activities`; check the indentation",
    ("", "activities"): "it belongs to the graph; check the indentation",
    ("", "id"): "an activity's id is its key; a job's id is `stats.id` of the trigger",
}

_ACTIVITIES: dict[str, type[msgspec.Struct]] = {
    kind.__struct_config__.tag: kind for kind in Activity.__args__
}

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    (int, "a number"),
    (float, "a number"),
    (str, "text"),
    (dict, "a mapping"),
    ((list, tuple), "a list"),
)


def activity_types() -> dict[str, type[msgspec.Struct]]:
    """The structs of activities by their `type`."""
    return dict(_ACTIVITIES)


def explain(value: Any, kind: Any, path: Path, findings: Findings) -> None:
    """Note every way in which `value` is not a `kind` (a type that `msgspec.convert` takes)."""
    _Walk(findings).value(value, _info(kind), path)


class _Walk:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings

    def value(self, value: Any, info: inspect.Type, path: Path) -> None:
        """Dispatch on the kind that is wanted. `Any` is checked elsewhere."""
        match info:
            case inspect.AnyType():
                return
            case inspect.UnionType():
                self._union(value, info, path)
            case inspect.StructType():
                self._struct(value, info, path)
            case inspect.DictType():
                if self._is(value, dict, "a mapping", path):
                    for key, child in value.items():
                        self.value(child, info.value_type, (*path, key))
            case inspect.VarTupleType():
                if self._is(value, (list, tuple), "a list (lines that begin with '- ')", path):
                    for index, child in enumerate(value):
                        self.value(child, info.item_type, (*path, index))
            case inspect.LiteralType():
                self._literal(value, info, path)
            case inspect.StrType():
                self._is(value, str, "text", path)
            case inspect.BoolType():
                self._is(value, bool, "true or false", path)
            case inspect.IntType():
                self._is(value, int, "a whole number", path)
            case inspect.FloatType():
                self._is(value, (int, float), "a number", path)
            case inspect.NoneType():
                self._is(value, type(None), "empty", path)
            case _:
                raise AssertionError(f"no structs of models have fields of kind {info!r}")

    def _union(self, value: Any, info: inspect.UnionType, path: Path) -> None:
        members = [t for t in info.types if not isinstance(t, inspect.NoneType)]
        if value is None and len(members) < len(info.types):
            return
        structs = [t for t in members if isinstance(t, inspect.StructType)]
        if len(members) == 1:
            self.value(value, members[0], path)
        elif len(structs) == len(members):
            self._tagged(value, structs, path)
        elif isinstance(value, (list, tuple)) and (
            lists := [t for t in members if isinstance(t, inspect.VarTupleType)]
        ):
            self.value(value, lists[0], path)
        elif not any(_fits(value, t) for t in members):
            self._findings.error(path, f"must be {_wanted(members)}, not {_is_a(value)}")

    def _tagged(self, value: Any, structs: list[inspect.StructType], path: Path) -> None:
        """An activity: a mapping whose `type` says which struct it is."""
        tags = {str(s.tag): s for s in structs}
        names = ", ".join(tags)
        if value is None:
            self._findings.error(path, f"the activity is empty; give it a `type`: {names}")
        elif not self._is(value, dict, "a mapping with a `type`", path):
            return
        elif "type" not in value:
            self._findings.error(path, f"`type` is missing: one of {names}", key=True)
        elif not isinstance(value["type"], str):
            self._is(value["type"], str, "text", (*path, "type"))
        elif value["type"] not in tags:
            kind = value["type"]
            hint = f"; use {_TYPES[kind]}" if kind in _TYPES else ""
            hint = hint or self._findings.near(kind, tags)
            self._findings.error(
                (*path, "type"),
                f"there is no activity type {kind!r:.100}{hint or f'; there are {names}'}",
            )
        else:
            self._struct(value, tags[value["type"]], path)

    def _struct(self, value: Any, info: inspect.StructType, path: Path) -> None:
        name, docs = info.cls.__name__, descriptions(info.cls)
        if value is None:
            self._findings.error(
                path, f"is empty; give it {_listed(info, required=True)}, or remove the line"
            )
            return
        if not self._is(value, dict, f"a mapping with {_listed(info)}", path):
            return
        fields = {f.encode_name: f for f in info.fields}
        meant: set[str] = set()
        for key, child in value.items():
            if key in fields:
                self.value(child, fields[key].type, (*path, key))
            elif key != info.tag_field:
                meant.add(self._unknown(key, info, name, (*path, key)))
        for key, field in fields.items():
            if field.required and key not in value and key not in meant:
                told = f": {docs[key][0].lower()}{docs[key][1:]}" if key in docs else ""
                self._findings.error(path, f"`{key}` is missing{told}", key=True)

    def _unknown(self, key: str, info: inspect.StructType, name: str, path: Path) -> str:
        """Note an unknown property; the property that was probably meant, or ""."""
        fields = [f.encode_name for f in info.fields]
        what = _spoken(info)
        is_activity = info.cls in _ACTIVITIES.values()
        hint = _MISPLACED.get((name, key)) or (_MISPLACED.get(("", key)) if is_activity else None)
        if hint is None and is_activity:
            owners = [tag for tag, kind in _ACTIVITIES.items() if key in _names(kind)]
            hint = f"it belongs to {' and '.join(owners)}" if owners else None
        meant = None if hint else self._findings.nearest(key, fields)
        advice = hint or (f"did you mean {meant!r}?" if meant else f"it has {', '.join(fields)}")
        self._findings.error(path, f"{what} has no property {key!r:.100}; {advice}", key=True)
        return meant or ""

    def _literal(self, value: Any, info: inspect.LiteralType, path: Path) -> None:
        if value in info.values and not isinstance(value, bool):
            return
        words = [repr(v) for v in info.values]
        near = self._findings.near(value, map(str, info.values)) if isinstance(value, str) else ""
        self._findings.error(path, f"must be {_either(words)}, not {_is_a(value)}{near}")

    def _is(self, value: Any, kind: type | tuple[type, ...], wanted: str, path: Path) -> bool:
        if isinstance(value, kind) and (not isinstance(value, bool) or kind is bool):
            return True
        if value is None:
            self._findings.error(path, f"is empty; it must be {wanted}, or leave the line out")
            return False
        quote = (
            f"; put it in quotes: '{value}'"
            if kind is str and isinstance(value, (int, float))
            else ""
        )
        self._findings.error(path, f"must be {wanted}, not {_is_a(value)}{quote}")
        return False


_SPOKEN = {
    "App": "the app",
    "Graph": "a graph",
    "Transition": "a transition",
    "HookRule": "a hook rule",
    "Conditions": "`conditions`",
    "Match": "a match",
    "Io": "this section",
    "Stats": "`stats`",
    "Measure": "a measure",
    "RetryPolicy": "a retry policy",
}


def _spoken(info: inspect.StructType) -> str:
    if info.tag:
        return f"{'an' if str(info.tag)[0] in 'aeiou' else 'a'} {info.tag}"
    return _SPOKEN.get(info.cls.__name__, info.cls.__name__)


@cache
def _info(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


@cache
def _names(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(f.encode_name for f in msgspec.structs.fields(kind))


@cache
def descriptions(kind: type) -> dict[str, str]:
    """What is said about each attribute, from the docstrings of a struct and of what it extends.

    Empty where Python runs without docstrings (`-OO`): descriptions are for people only.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        _, _, attributes = cleandoc(base.__doc__ or "").partition("Attributes:")
        entries = re.sub(r"\n {8}", "\n", attributes).replace("\n ", "\n\n ")
        for entry in entries.split("\n\n"):
            names, colon, told = " ".join(entry.split()).partition(": ")
            if colon:
                found.update(dict.fromkeys(names.split(", "), told))
    return found


def summary(kind: type) -> str:
    """The first paragraph of a struct's docstring."""
    return " ".join(cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())


def _fits(value: Any, info: inspect.Type) -> bool:
    match info:
        case inspect.LiteralType():
            return value in info.values
        case inspect.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case inspect.StrType():
            return isinstance(value, str)
    return False


def _wanted(members: list[inspect.Type]) -> str:
    words: list[str] = []
    for info in members:
        match info:
            case inspect.LiteralType():
                words += [repr(v) for v in info.values]
            case inspect.VarTupleType():
                words.append("a list")
            case inspect.IntType():
                words.append("a whole number")
            case _:
                words.append("text")
    return _either(words)


def _listed(info: inspect.StructType, *, required: bool = False) -> str:
    names = [f.encode_name for f in info.fields if f.required or not required]
    return ", ".join(names) or "a value"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _is_a(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, str):
        return f"{value!r}" if len(value) <= 60 else "text"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), type(value).__name__)


def convert_app(value: dict[str, Any], findings: Findings) -> App | None:
    """The app, or None with everything that is wrong noted."""
    try:
        return msgspec.convert(value, App)
    except msgspec.ValidationError:
        value = without_ignored(value, findings)
    try:
        return msgspec.convert(value, App)
    except msgspec.ValidationError as exc:
        before = len(findings.errors)
        explain(value, App, (), findings)
        if len(findings.errors) == before:
            # The walk knows every kind of field that the structs have; if it ever doesn't,
            # msgspec's words must do.
            findings.error((), f"the model has a wrong value: {exc}")
        return None

"""References in rules: whether what they name is there when they are read.

A name that does not exist is an error. A name that exists, but has no value at that place, is a
warning: a reference to what is not there leaves the field out, and models may count on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from hotmesh.model.activities import Cycle, Hook, Io, Schema, Trigger
from hotmesh.model.marks import Path
from hotmesh.model.scope import Doubt, GraphScope, Scope

_SECTIONS = ("output", "hook", "input")
_KINDS = ("data", "metadata")
# fmt: off
_ACTIVITY_METADATA = frozenset((
    "aid", "dad", "as", "atp", "stp", "ac", "au", "err", "l1s", "l2s", "jid",
))
_JOB_METADATA = frozenset((
    "jid", "tpc", "app", "vrs", "aid", "key", "ts", "jc", "ju", "js", "err", "trc", "spn", "ngn",
    "pj", "pd", "pa", "pg", "px", "gid", "dad", "atp", "stp", "expire", "guid", "persistent",
))
# fmt: on
_ROOTS = ("$self", "$job", "$app")
_REDUCE = ("$item", "$key", "$index", "$input", "$output")  # recognised by prefix
_INSIDE = re.compile(r"\{\$?[\w-]+(?:\.[\w$-]+)+\}")
_INDEX = re.compile(r"[0-9]{1,9}")
_COMBINED = ("allOf", "anyOf", "oneOf", "$ref", "patternProperties", "if", "$dynamicRef")


@dataclass(slots=True, frozen=True)
class Reader:
    """Who reads a rule, and what it can see.

    Attributes:
        name: The activity in which the rule stands; `$self`.
        sees: `all` that comes before it; only the start's `payload` (a trigger's stats); only the
            `signal` (a hook rule's `actual`); or `any` activity of the graph (its `expire`, which
            is read wherever the job ends).
    """

    view: GraphScope
    name: str
    sees: str = "all"


def is_rule(value: Any) -> bool:
    """Whether a value is resolved when it is read: a reference, a function or a pipe."""
    if isinstance(value, str):
        return value.startswith("{") and value.endswith("}")
    return isinstance(value, dict) and "@pipe" in value


def check_maps(scope: Scope, reader: Reader, maps: Any, path: Path) -> None:
    """Every leaf of a tree of maps."""
    if isinstance(maps, dict) and "@pipe" not in maps:
        for key, value in maps.items():
            if key.startswith("@"):
                near = scope.findings.near(key, ("@pipe",)) or "; a pipe is {'@pipe': [[…], …]}"
                scope.findings.error(
                    (*path, key), f"a name in maps can't begin with '@'{near}", key=True
                )
            elif not note_unquoted(scope, value, (*path, key)):
                check_maps(scope, reader, value, (*path, key))
    elif isinstance(maps, list):
        message = (
            "a list in maps becomes a mapping with keys 0, 1, …; for a list use a pipe with "
            "@array, or a reference"
        )
        scope.findings.warn(path, message)
        for index, value in enumerate(maps):
            check_maps(scope, reader, value, (*path, index))
    elif maps is None:
        scope.findings.error(
            path, "a map can't hold null; to write null use '{@symbol.null}', or remove the line"
        )
    else:
        check_rule(scope, reader, maps, path)


def check_rule(scope: Scope, reader: Reader, value: Any, path: Path) -> None:
    """One value: a literal, a reference, a function or a pipe."""
    if not isinstance(value, (str, dict)):
        return
    if isinstance(value, dict):
        if note_unquoted(scope, value, path) or "@pipe" not in value:
            return
        if len(value) > 1:
            other = next(key for key in value if key != "@pipe")
            scope.findings.warn(
                (*path, other), "is ignored: beside '@pipe' nothing counts", key=True
            )
    elif "{" not in value:
        return
    elif not is_rule(value):
        if found := _INSIDE.search(value):
            message = (
                f"{found[0]} is plain text here: a reference fills the whole value; join texts "
                "with @string.concat"
            )
            scope.findings.warn(path, message)
        return
    _check_resolved(scope, reader, value, path)


def _check_resolved(scope: Scope, reader: Reader, rule: Any, path: Path) -> None:
    for problem in scope.mapping.problems(rule):
        note = scope.findings.warn if isinstance(problem, Doubt) else scope.findings.error
        note(path, problem)
    for parts in scope.mapping.references(rule):
        _Reference(scope, reader, rule, path, parts).check()


def note_unquoted(scope: Scope, value: Any, path: Path) -> bool:
    """Note a reference without quotes, which YAML takes for a mapping of that key to nothing."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    name, inner = next(iter(value.items()))
    if inner is not None or not ("." in name or name.startswith("$")):
        return False
    scope.findings.error(path, f"a reference needs quotes: '{{{name}}}'")
    return True


class _Reference:
    """One reference on its way through the checks."""

    def __init__(
        self, scope: Scope, reader: Reader, rule: Any, path: Path, parts: tuple[str, ...]
    ) -> None:
        self.scope, self.reader, self.rule, self.path, self.parts = scope, reader, rule, path, parts
        self.text = "{" + ".".join(parts) + "}"

    def check(self) -> None:
        """Follow it from its root."""
        root = self.parts[0]
        if self.reader.sees == "signal":
            self._check_signal()
        elif root == "$job":
            self._check_job()
        elif root == "$app":
            self._check_app()
        elif root == "$self":
            self._check_activity(self.reader.name)
        elif root.startswith("$"):
            self._check_special(root)
        elif root in self.reader.view.graph.activities:
            self._check_activity(root)
        else:
            self._unknown(root)

    # -- the five kinds of roots

    def _check_signal(self) -> None:
        usual = self.parts[:3] == ("$self", "hook", "data") or self.parts[:2] == ("$hook", "data")
        if not usual:
            self._error("`actual` sees only the signal's payload: {$self.hook.data.…}")

    def _check_job(self) -> None:
        kind = self.parts[1] if len(self.parts) > 1 else ""
        if kind not in _KINDS:
            self._error(f"$job has data and metadata{self._near(kind, _KINDS)}")
        elif kind == "metadata":
            self._check_metadata(self.parts[2:], _JOB_METADATA)
        elif self.reader.sees == "payload":
            self._warn(
                "is not there yet when the job's id and key are made; use the payload: "
                "{$self.input.data.…}"
            )
        else:
            self._check_job_field(self.parts[2:])

    def _check_job_field(self, names: tuple[str, ...]) -> None:
        fields: Any = self.reader.view.job_fields
        for name in names:
            if not isinstance(fields, dict):
                return
            if name not in fields:
                self._warn(
                    f"no `job.maps` of this graph writes {name!r:.100}{self._near(name, fields)}"
                )
                return
            fields = fields[name]

    def _check_app(self) -> None:
        if self.parts[1:2] != ("settings",):
            self._error("$app has nothing but settings: {$app.settings.…}")
            return
        value: Any = self.scope.app.settings
        for name in self.parts[2:]:
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
                value = value[int(name)]
            else:
                near = self._near(name, value) if isinstance(value, dict) else ""
                self._error(f"the app's settings have no {name!r:.100} there{near}")
                return

    def _check_special(self, root: str) -> None:
        if root.startswith(_REDUCE):
            if not _holds(self.rule, "@reduce"):
                self._warn(f"{root} has a value only inside '@reduce'")
        elif root == "$hook":
            self._error(
                "$hook is there only in the `actual` of a hook rule; use {<hook "
                "activity>.hook.data.…}"
            )
        elif root == "$graph":
            self._warn("$graph holds nothing; use {$app.settings.…} or the payload")
        else:
            self._error(f"there is no {root!r:.100}{self._near(root, _ROOTS)}")

    def _unknown(self, root: str) -> None:
        owner = self.scope.owners.get(root)
        if owner is not None:
            graph = f"graphs[{owner.index}] ({owner.graph.subscribes})"
            self._error(
                f"{root!r} belongs to {graph}; data passes between graphs only as an await's "
                "input and output"
            )
        elif root.strip() != root and root.strip() in self.reader.view.graph.activities:
            self._error("remove the blanks inside the braces")
        else:
            known = [*self.reader.view.graph.activities, *_ROOTS]
            self._error(f"there is no activity {root!r:.100}{self._near(root, known)}")

    # -- an activity's own data

    def _check_activity(self, name: str) -> None:
        section, kind = (*self.parts[1:3], "", "")[:2]
        if section not in _SECTIONS:
            hint = self._near(section, _SECTIONS) or "; write {<activity>.output.data.<field>}"
            self._error(f"an activity has {', '.join(_SECTIONS)}, not {section!r:.100}{hint}")
        elif kind not in _KINDS:
            hint = self._near(kind, _KINDS) or f"; write {{{self.parts[0]}.{section}.data.<field>}}"
            self._error(f"{section!r} has data and metadata, not {kind!r:.100}{hint}")
        elif self.reader.sees == "payload":
            self._check_payload(name, section)
        elif self._is_there(name, section):
            if kind == "metadata":
                self._check_metadata(self.parts[3:], _ACTIVITY_METADATA)
            else:
                self._check_declared(name, section)

    def _check_payload(self, name: str, section: str) -> None:
        if name != self.reader.name or section == "hook":
            self._warn(
                "is not there yet when a job starts; there is only the payload: "
                "{$self.input.data.…}"
            )
        else:
            self._check_declared(name, "output")

    def _is_there(self, name: str, section: str) -> bool:
        view = self.reader.view
        activity = view.graph.activities[name]
        of_payload = isinstance(activity, Trigger) and name == self.reader.name
        if not self._comes_before(name):
            self._warn(
                f"{name!r} does not come before {self.reader.name!r}, so this has no value; pass "
                "it on by `job.maps`"
            )
        elif section == "input" and not of_payload and not self._is_item(name):
            other = self.text.replace(".input.", ".output.", 1)
            use = (
                f"use {other}"
                if isinstance(activity, Trigger)
                else "map it where it is needed once more"
            )
            self._warn(f"an activity's input is not kept; {use}")
        elif section == "hook" and not isinstance(activity, Hook):
            self._warn(
                f"{name!r} is no hook, so it has no hook data; use {{{self.parts[0]}.output.…}}"
            )
        elif section == "hook" and not view.waits(name):
            self._warn(
                f"{name!r} has neither a rule in `hooks` nor `sleep`: it passes straight through, "
                "without hook data"
            )
        elif isinstance(activity, Cycle):
            self._warn(
                f"{name!r} is a cycle and has no output; its input becomes the output of "
                f"{activity.ancestor!r:.100}"
            )
        else:
            return True
        return False

    def _is_item(self, name: str) -> bool:
        """Whether this is the item that an activity with `each` is called for."""
        activity = self.reader.view.graph.activities[name]
        has_items = getattr(activity, "each", None) is not None
        return has_items and name == self.reader.name and self.parts[3:4] in (("item",), ("index",))

    def _comes_before(self, name: str) -> bool:
        """Whether an activity is on the way to the reader, or the graph can't tell."""
        view, reader = self.reader.view, self.reader
        if name == reader.name or reader.sees != "all":
            return True
        if name not in view.entered or reader.name not in view.entered:
            return True  # noted already: one of them is never reached
        return view.comes_before(name, reader.name)

    def _check_metadata(self, names: tuple[str, ...], known: frozenset[str]) -> None:
        if names and names[0] not in known:
            self._warn(f"metadata has no {names[0]!r:.100}{self._near(names[0], sorted(known))}")

    def _check_declared(self, name: str, section: str) -> None:
        """Fields that a declared schema lacks; undeclared fields pass, so this only warns."""
        schema = _declared(self.reader.view, name, section)
        for part in self.parts[3:]:
            if not isinstance(schema, dict) or any(word in schema for word in _COMBINED):
                return
            if schema.get("type") == "array" or "items" in schema:
                schema = schema.get("items")
                continue
            properties = schema.get("properties")
            if not isinstance(properties, dict) or schema.get("additionalProperties"):
                return
            if part not in properties:
                self._warn(
                    f"the schema of {name!r} declares no "
                    f"{part!r:.100}{self._near(part, properties)}"
                )
                return
            schema = properties[part]

    # -- telling

    def _near(self, name: str, known: Any) -> str:
        return self.scope.findings.near(name, known)

    def _error(self, message: str) -> None:
        self.scope.findings.error(self._place(), f"{self.text}: {message}")

    def _warn(self, message: str) -> None:
        self.scope.findings.warn(self._place(), f"{self.text}: {message}")

    def _place(self) -> Path:
        """The cell of a pipe in which the reference stands."""
        found = _find(self.rule, self.text)
        return self.path + found if found is not None else self.path


def _declared(view: GraphScope, name: str, section: str) -> Schema:
    activity = view.graph.activities[name]
    sources: tuple[Any, ...]
    if isinstance(activity, Trigger):
        sources = (view.graph.input, activity.input, activity.output)
    else:
        sources = (getattr(activity, "output", None),)
    if section == "hook":
        return activity.hook if isinstance(activity, Hook) else None
    return next((io.schema for io in sources if isinstance(io, Io) and io.schema is not None), None)


def _find(rule: Any, text: str) -> Path | None:
    if rule == text:
        return ()
    items = (
        rule.items()
        if isinstance(rule, dict)
        else enumerate(rule)
        if isinstance(rule, list)
        else ()
    )
    for key, value in items:
        found = _find(value, text)
        if found is not None:
            return (key, *found)
    return None


def _holds(rule: Any, key: str) -> bool:
    if isinstance(rule, dict):
        return key in rule or any(_holds(value, key) for value in rule.values())
    return isinstance(rule, list) and any(_holds(value, key) for value in rule)

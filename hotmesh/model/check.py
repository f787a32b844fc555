"""Everything about a model that can be known before it runs: all findings of a model in one go.

An error is what would make a job hang, fail or go elsewhere than written. A warning is what works,
but probably not as meant; among them is everything that the original deploys and recorded behaviour
relies on.
"""

from __future__ import annotations

from typing import Any

from hotmesh.errors import Finding
from hotmesh.model.activities import Cycle, Hook, Interrupt, Signal, Trigger
from hotmesh.model.check_activity import check_activities
from hotmesh.model.check_graph import check_names, check_structure
from hotmesh.model.check_refs import Reader, check_rule, is_rule
from hotmesh.model.check_values import (
    check_code_pattern,
    check_expire,
    check_flag,
    check_schema,
)
from hotmesh.model.findings import Findings, in_order
from hotmesh.model.loader import Loaded
from hotmesh.model.marks import Path
from hotmesh.model.scope import GraphScope, MappingCheck, Scope, build
from hotmesh.model.types import Conditions, Match, validates


def check(model: Loaded, mapping: MappingCheck) -> list[Finding]:
    """What is wrong, or doubtful, with a model.

    Args:
        model: As loaded.
        mapping: Knows what a rule refers to, and whether it is well-formed.

    Returns:
        Errors and warnings in the order of their places, those of loading included. At most 200 of
        each.
    """
    findings = Findings(lambda path, key: model.where(path, key=key))
    scope = build(model.app, findings, mapping)
    check_names(scope)
    check_structure(scope)
    check_activities(scope)
    for view in scope.graphs:
        _check_graph_values(scope, view)
        _check_conditions(scope, view)
        _check_hook_rules(scope, view)
    return in_order([*model.warnings, *findings.all])


def _check_graph_values(scope: Scope, view: GraphScope) -> None:
    graph = view.graph
    reader = Reader(view, view.trigger or "", sees="any")
    if view.trigger is not None:
        check_expire(scope, reader, graph.expire, view.path("expire"))
        check_flag(scope, reader, graph.persistent, view.path("persistent"))
    if graph.persistent is not None and not view.persists:
        message = "has no effect: no activity of this graph has `persist`"
        scope.findings.warn(view.path("persistent"), message, key=True)
    for section in ("input", "output"):
        io = getattr(graph, section)
        if io is None:
            continue
        check_schema(
            scope.findings,
            io.schema,
            view.path(section, "schema"),
            used=validates(scope.app, graph),
        )
        if io.maps is not None:
            message = (
                f"is never applied: a graph has only a schema under `{section}`; map in its "
                "activities"
            )
            scope.findings.warn(view.path(section, "maps"), message, key=True)


# -- conditions of transitions


def _check_conditions(scope: Scope, view: GraphScope) -> None:
    for origin, place, transition in view.transitions():
        conditions = transition.conditions
        if conditions is None or origin not in view.graph.activities:
            continue
        path = view.path("transitions", origin, place, "conditions")
        _check_codes(scope, view, conditions, path, origin)
        if conditions.match is not None and not conditions.match:
            if conditions.gate == "or":
                scope.findings.error(
                    (*path, "match"),
                    "is empty, so with `gate: or` this is never followed",
                    key=True,
                )
            else:
                scope.findings.warn(
                    (*path, "match"), "is empty and always holds; remove it", key=True
                )
        reader = Reader(view, origin)
        for index, match in enumerate(conditions.match or ()):
            _check_match(scope, reader, match, (*path, "match", index))


def _check_codes(
    scope: Scope, view: GraphScope, conditions: Conditions, path: Path, origin: str
) -> None:
    code, findings = conditions.code, scope.findings
    if code is None:
        return
    if isinstance(code, tuple):
        good = all(
            [
                check_code_pattern(findings, c, (*path, "code", index))
                for index, c in enumerate(code)
            ]
        )
        if not code:
            findings.error(
                (*path, "code"), "is empty, so this is never followed; list the codes", key=True
            )
    else:
        good = check_code_pattern(findings, code, (*path, "code"))
    if good and code != () and not conditions.takes_success and _has_no_code(view, origin):
        kind = type(view.graph.activities[origin]).__name__.lower()
        findings.warn(
            (*path, "code"),
            f"never holds: {origin!r} is a {kind} that always ends with code 200",
            key=True,
        )


def _has_no_code(view: GraphScope, name: str) -> bool:
    """Whether an activity gets no answer that could carry a code."""
    activity = view.graph.activities[name]
    if isinstance(activity, Hook):
        return name not in view.rules
    return isinstance(activity, (Trigger, Signal, Interrupt, Cycle))


def _check_match(scope: Scope, reader: Reader, match: Match, path: Path) -> None:
    findings = scope.findings
    if isinstance(match.expected, (dict, list)):
        findings.error(
            (*path, "expected"), "must be one literal: lists and mappings equal nothing", key=True
        )
    elif is_rule(match.expected):
        message = (
            "is compared as plain text, not resolved; put the reference under `actual` and "
            "compare in a pipe"
        )
        findings.warn((*path, "expected"), message)
    _check_actual(scope, reader, match.actual, (*path, "actual"))


def _check_actual(scope: Scope, reader: Reader, actual: Any, path: Path) -> None:
    if is_rule(actual):
        check_rule(scope, reader, actual, path)
    elif isinstance(actual, (dict, list)):
        check_rule(scope, reader, actual, path)
        scope.findings.error(
            path, "must be a reference or a pipe: lists and mappings equal nothing", key=True
        )
    else:
        scope.findings.warn(
            path, f"is the constant {actual!r:.60}; a reference looks like '{{a1.output.data.x}}'"
        )


# -- rules of hooks


def _check_hook_rules(scope: Scope, view: GraphScope) -> None:
    findings = scope.findings
    for topic, rules in view.graph.hooks.items():
        for place, rule in enumerate(rules[:1]):
            path: Path = view.path("hooks", topic, place, "conditions")
            conditions = rule.conditions
            if conditions.code is not None:
                findings.warn(
                    (*path, "code"),
                    "has no effect: a signal wakes a hook whatever its code",
                    key=True,
                )
            matches = conditions.match or ()
            if len(matches) != 1:
                message = (
                    f"needs exactly one `match` with expected and actual, not {len(matches)}; "
                    "compare several in a pipe"
                )
                findings.error((*path, "match") if matches else path, message, key=True)
            for match in matches[:1]:
                _check_hook_match(scope, view, rule.to, match, (*path, "match", 0))


def _check_hook_match(scope: Scope, view: GraphScope, to: str, match: Match, path: Path) -> None:
    if to in view.graph.activities:
        check_rule(scope, Reader(view, to), match.expected, (*path, "expected"))
    if match.expected is None or (
        isinstance(match.expected, (dict, list)) and not is_rule(match.expected)
    ):
        scope.findings.error(
            (*path, "expected"), "must be a text, a number, a reference or a pipe", key=True
        )
    _check_actual(scope, Reader(view, to, sees="signal"), match.actual, (*path, "actual"))

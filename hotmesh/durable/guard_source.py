"""Reads workflow code before it runs, for what the guards can't see at run time: names bound
before the wrappers were in place, types in C, and orders that follow hashes.

Read are the function or class and what it calls in its own module. Activities are not: they are
decorated, or passed by name.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from hotmesh.durable.guard_names import forbidden
from hotmesh.durable.guard_sets import SetOrder
from hotmesh.errors import Finding

__all__ = ["check_source"]

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Scope = Definition | ast.Lambda

SILENCE = "# durable: ok"


def check_source(subject: Any) -> list[Finding]:
    """What is forbidden in a workflow function or class, with file and line.

    A comment `# durable: ok` on the line silences a finding. Code without source has none.
    """
    subject = inspect.unwrap(subject)
    module = inspect.getmodule(subject)
    name = getattr(subject, "__qualname__", "")
    if module is None or not name:
        return []
    try:
        file = inspect.getsourcefile(subject) or ""
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):
        return []
    scope = _find(tree, name.split("."), _first_line(subject))
    if scope is None:
        return []
    findings = _Reader(module, tree, file, name).read(scope)
    return sorted(findings, key=lambda finding: (finding.line, finding.column))


def _first_line(subject: Any) -> int | None:
    code = getattr(subject, "__code__", None)
    return None if code is None else code.co_firstlineno


def _find(tree: ast.AST, path: list[str], first_line: int | None) -> Definition | None:
    """The definition with this qualified name. Where names were bound twice, the line tells; a
    class has none, and the last one counts, as it does in the module.
    """
    name, rest = path[0], [part for part in path[1:] if part != "<locals>"]
    found = None
    for node in _definitions(tree):
        if node.name == name:
            inner = _find(node, rest, first_line) if rest else node
            if inner is not None and (rest or first_line in (None, _line_of(inner))):
                found = inner
    return found


def _definitions(node: ast.AST) -> Iterator[Definition]:
    """The definitions directly in a scope, also those in its branches."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Definition):
            yield child
        elif not isinstance(child, ast.Lambda):
            yield from _definitions(child)


def _line_of(node: Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


class _Reader:
    """One subject being read: its own scope, then the functions that it calls."""

    def __init__(self, module: ModuleType, tree: ast.Module, file: str, path: str) -> None:
        self.file, self.path = file, path
        self.imports = dict(_imports(tree))
        self.hidden = _bound(tree) - set(self.imports)
        self.helpers = {
            node.name: node
            for node in _definitions(tree)
            if not node.decorator_list and getattr(module, node.name, None) is not None
        }
        self.waiting: list[Definition] = []
        self.findings: list[Finding] = []

    def read(self, scope: Definition) -> list[Finding]:
        self.waiting.append(scope)
        read: set[Definition] = set()
        while self.waiting:
            scope = self.waiting.pop()
            if scope not in read:
                read.add(scope)
                self._read(scope, self.imports, self.hidden)
        return self.findings

    def _read(self, scope: Scope, names: dict[str, str], hidden: set[str]) -> None:
        """Read a scope and those within it, given what names mean around it."""
        imports, bound = dict(_imports(scope)), _bound(scope)
        # The names of a class's body mean nothing in its methods, and the body ran at import.
        if not isinstance(scope, ast.ClassDef):
            names = {**{k: v for k, v in names.items() if k not in bound}, **imports}
            hidden = hidden | (bound - set(imports))
        order = SetOrder(scope)
        calls: dict[ast.AST, ast.Call] = {}
        told: set[ast.AST] = set()
        for node in _body(scope):
            if isinstance(node, Scope):
                self._read(node, names, hidden)
            if isinstance(scope, ast.ClassDef):
                continue
            if isinstance(node, ast.Call):
                calls[node.func] = node
                self._follow(node.func, hidden - self.hidden)
            if node not in told and (origin := _origin(node, names, hidden)):
                found = forbidden(node, origin, calls.get(node))
                if found is not None:
                    told.update(ast.walk(node))
                    self._found(calls.get(node, node), *found)
            for expression in order.iterated(node):
                self._found(expression, "iterating over a set", "sorted(), a list or a dict")

    def _follow(self, function: ast.expr, local: set[str]) -> None:
        if isinstance(function, ast.Name) and function.id not in local:
            helper = self.helpers.get(function.id)
            if helper is not None:
                self.waiting.append(helper)

    def _found(self, node: ast.AST, what: str, instead: str) -> None:
        line: int = getattr(node, "lineno", 0)
        last: int = getattr(node, "end_lineno", None) or line
        if any(SILENCE in linecache.getline(self.file, number) for number in {line, last}):
            return
        self.findings.append(
            Finding(
                f"{what} is not allowed in workflow code, because a replay could not repeat it; "
                f"use {instead}",
                path=self.path,
                file=self.file,
                line=line,
                column=getattr(node, "col_offset", 0) + 1,
            )
        )


def _imports(scope: ast.AST) -> Iterator[tuple[str, str]]:
    """Names bound by imports directly in a scope, with the dotted name each stands for."""
    for node in _body(scope):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (root, root)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module}.{alias.name}"


def _bound(scope: ast.AST) -> set[str]:
    """Names bound directly in a scope by assignment, definition or as parameters."""
    bound = set()
    if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        bound |= {node.arg for node in ast.walk(scope.args) if isinstance(node, ast.arg)}
    for node in _body(scope):
        if isinstance(node, Definition):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return bound


def _body(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope, outer ones first. Of scopes within it, only they themselves; of a
    function, neither decorators nor defaults, which are evaluated where it is defined.
    """
    if isinstance(scope, ast.Lambda):
        roots: list[ast.AST] = [scope.body]
    else:
        roots = list(getattr(scope, "body", []))
    while roots:
        node = roots.pop(0)
        yield node
        if not isinstance(node, Scope):
            roots[:0] = ast.iter_child_nodes(node)


def _origin(node: ast.AST, names: dict[str, str], hidden: set[str]) -> str:
    """The dotted name that an expression stands for: `dt.datetime.now` → `datetime.datetime.now`;
    empty when it is none.
    """
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or not isinstance(node.ctx, ast.Load):
        return ""
    if node.id in names:
        return ".".join([names[node.id], *reversed(parts)])
    if node.id in hidden or parts or node.id not in _BUILTINS:
        return ""
    return f"builtins.{node.id}"


_BUILTINS = frozenset(dir(builtins))

"""Where the order of a set decides something.

The order of a set of texts follows their hashes, which differ from process to process.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

__all__ = ["SetOrder"]

_ORDERED_CALLS = frozenset({"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "reduce"})
# What they make of a generator does not depend on its order.
_ORDERLESS_CALLS = frozenset({"sorted", "set", "frozenset", "sum", "min", "max", "any", "all"})
_SET_METHODS = frozenset({"union", "intersection", "difference", "symmetric_difference", "copy"})
_SET_TYPES = frozenset({"set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet"})
_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
_FIXED_HASHES = frozenset({"int", "float", "bool"})


class SetOrder:
    """The sets of one scope, as far as they can be told from its text."""

    def __init__(self, scope: ast.AST) -> None:
        self._names: set[str] = set()
        self._orderless: set[ast.AST] = set()
        others: set[str] = set()
        for node in ast.walk(scope):
            if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation is not None:
                target = node.arg if isinstance(node, ast.arg) else _name(node.target)
                (self._names if _is_set_type(node.annotation) else others).add(target)
            elif isinstance(node, ast.Assign):
                for name in map(_name, node.targets):
                    (self._names if self._is_set(node.value) else others).add(name)
        self._names -= others | {""}

    def iterated(self, node: ast.AST) -> Iterator[ast.expr]:
        """The sets whose order this very node uses. Outer nodes are to be asked before inner."""
        for expression in self._candidates(node):
            if self._is_set(expression):
                yield expression

    def _candidates(self, node: ast.AST) -> Iterator[ast.expr]:
        if isinstance(node, ast.For):
            yield node.iter
        elif isinstance(node, ast.SetComp):
            if not any(isinstance(inner, ast.Await) for inner in ast.walk(node)):
                self._orderless.update(node.generators)
        elif isinstance(node, ast.comprehension) and node not in self._orderless:
            yield node.iter
        elif isinstance(node, ast.Starred | ast.YieldFrom):
            yield node.value
        elif isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Tuple | ast.List) for target in node.targets):
                yield node.value
        elif isinstance(node, ast.Call):
            yield from self._candidates_of_call(node)

    def _candidates_of_call(self, call: ast.Call) -> Iterator[ast.expr]:
        function = call.func
        if isinstance(function, ast.Attribute):
            if function.attr == "join" or function.attr == "fromkeys":
                yield from call.args[:1]
            elif function.attr == "pop" and not call.args:
                yield function.value
        elif _name(function) in _ORDERED_CALLS:
            yield from call.args
        elif _name(function) in _ORDERLESS_CALLS:
            for argument in call.args:
                if isinstance(argument, ast.GeneratorExp):
                    self._orderless.update(argument.generators)

    def _is_set(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Name):
            return node.id in self._names
        if isinstance(node, ast.Set):
            return not all(_is_number(element) for element in node.elts)
        if isinstance(node, ast.SetComp):
            return True
        if isinstance(node, ast.IfExp):
            return self._is_set(node.body) or self._is_set(node.orelse)
        if isinstance(node, ast.NamedExpr):
            return self._is_set(node.value)
        if isinstance(node, ast.BinOp) and isinstance(node.op, _OPERATORS):
            return any(self._is_set(side) or _is_view(side) for side in (node.left, node.right))
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                return node.func.attr in _SET_METHODS and self._is_set(node.func.value)
            return _name(node.func) in ("set", "frozenset")
        return False


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def _is_view(node: ast.expr) -> bool:
    """Operators make sets of the views of a dict."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("keys", "items")
    )


def _is_set_type(annotation: ast.expr) -> bool:
    element = ""
    if isinstance(annotation, ast.Subscript):
        element, annotation = _name(annotation.slice), annotation.value
    last = annotation.attr if isinstance(annotation, ast.Attribute) else _name(annotation)
    return last in _SET_TYPES and element not in _FIXED_HASHES

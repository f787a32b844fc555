"""Transition conditions: `code`, `gate` and `match` → a closure that says yes or no."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from hotmesh.errors import MappingError
from hotmesh.mapping.compile import compile_value
from hotmesh.mapping.env import Closure, Env
from hotmesh.mapping.javascript import strict_equal, to_string
from hotmesh.mapping.javascript.values import is_object

CODE_DEFAULT: Final = 200

Condition = Callable[[Any, int, Env], bool]
CodeTest = Callable[[int], bool]


def compile_condition(rule: Any, *, path: str = "") -> Condition:
    """A condition as it stands under `conditions` of a transition.

    Args:
        rule: None and true hold whatever the code, false never does. An object asks for the code
            first (200 unless it has `code`: one, a list, or text in which `*` stands for any digit)
            and then for its matches, all of them unless `gate` is `or`.
        path: The place in the model, which errors begin with.

    Returns:
        A closure of a context, the code of the activity's outcome and an `Env`. It stops as soon as
        the answer is known.
    """
    if rule is None or isinstance(rule, bool):
        answer = rule is not False
        return lambda context, code, env: answer
    if not isinstance(rule, dict):
        raise MappingError("a condition is true, false or an object", where=path)
    code, match = rule.get("code"), rule.get("match")
    fits = _compile_code(CODE_DEFAULT if code is None else code, path)
    if match is None:
        return lambda context, code, env: fits(code)
    holds = _compile_matches(match, rule.get("gate") == "or", path)
    return lambda context, code, env: fits(code) and holds(context, env)


def _compile_code(wanted: Any, path: str) -> CodeTest:
    listed = wanted if isinstance(wanted, list) else [wanted]
    if not all(isinstance(one, (int, float, str)) and not isinstance(one, bool) for one in listed):
        raise MappingError("code is a number, a text such as '4**', or a list of them", where=path)
    patterns = [_digits(one) for one in listed if isinstance(one, str) and "*" in one]
    numbers = frozenset(one for one in listed if not isinstance(one, str))
    # One code is compared as text; in a longer list a text never equals the number that a code is.
    texts = frozenset(to_string(one) for one in listed) if len(listed) == 1 else frozenset()
    if not patterns and len(listed) == 1:
        (only,) = texts
        return lambda code: str(code) == only

    def fits(code: int) -> bool:
        return code in numbers or any(pattern.fullmatch(str(code)) for pattern in patterns)

    return fits


def _digits(text: str) -> re.Pattern[str]:
    return re.compile("[0-9]".join(re.escape(part) for part in text.split("*")))


def _compile_matches(matches: Any, any_of: bool, path: str) -> Callable[[Any, Env], bool]:
    if not isinstance(matches, list):
        raise MappingError("match is a list of objects with expected and actual", where=path)
    tests: list[Closure] = []
    for number, match in enumerate(matches):
        place = f"{path}.match[{number}]" if path else f"match[{number}]"
        if not isinstance(match, dict) or "actual" not in match or "expected" not in match:
            raise MappingError("a match has expected and actual", where=place)
        tests.append(_compile_match(match["expected"], compile_value(match["actual"], path=place)))
    if len(tests) == 1:
        return tests[0]
    if any_of:
        return lambda context, env: any(test(context, env) for test in tests)
    return lambda context, env: all(test(context, env) for test in tests)


def _compile_match(expected: Any, actual: Closure) -> Closure:
    """Strict equality with a literal. An object or array in a rule is never the one in the data."""
    if is_object(expected):

        def never(context: Any, env: Env) -> bool:
            actual(context, env)
            return False

        return never
    if isinstance(expected, str) or expected is None or isinstance(expected, bool):
        kind = type(expected)

        def same(context: Any, env: Env) -> bool:
            value = actual(context, env)
            return type(value) is kind and value == expected

        return same
    return lambda context, env: strict_equal(actual(context, env), expected)

"""A small mapping language for the checks: `hotmesh.model` is tested without `hotmesh.mapping`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model import Doubt, check, load

MODELS = Path(__file__).parents[2] / "conformance" / "models"


class SimpleMapping:
    """References as the language defines them; of functions it knows two families."""

    def references(self, rule: Any) -> Iterable[tuple[str, ...]]:
        if isinstance(rule, str):
            if rule.startswith("{") and rule.endswith("}") and not rule.startswith("{@"):
                yield tuple(rule[1:-1].split("."))
        elif isinstance(rule, (dict, list)):
            for inner in rule.values() if isinstance(rule, dict) else rule:
                yield from self.references(inner)

    def problems(self, rule: Any) -> Iterable[str]:
        if isinstance(rule, dict) and not isinstance(rule["@pipe"], list):
            yield "'@pipe' holds a list of rows"
        if "{@nonsense." in repr(rule):
            yield "there is no family 'nonsense'"
        if "{@string.shout}" in repr(rule):
            yield Doubt("there is no function {@string.shout}")


def judge(source: Any, *, base: Path | None = None) -> list[Finding]:
    """What `load`, or else `check`, finds."""
    try:
        loaded = load(source, base=base)
    except ModelInvalid as exc:
        return list(exc.findings)
    return check(loaded, SimpleMapping())


@pytest.fixture(name="judge")
def judge_fixture() -> Callable[..., list[Finding]]:
    return judge


@pytest.fixture(name="models")
def models_fixture() -> Path:
    return MODELS

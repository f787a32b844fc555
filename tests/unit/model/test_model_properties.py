"""Whatever is given: a model, or `ModelInvalid` with findings; nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotmesh.errors import Finding, ModelInvalid
from hotmesh.model import load
from hotmesh.model.marks import parse, render

_YAML = st.text(alphabet="abt:- \n\t{}[]'\"\\#&*!|>%@`,?0.~$/u\0\x85\u2028\ufeffé", max_size=80)
_RELAXED = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# fmt: off
_KEYS = st.sampled_from([
    "app", "id", "version", "graphs", "activities", "type", "topic", "transitions", "to", "maps",
    "job", "input", "hooks", "conditions", "match", "expected", "actual", "code", "$ref", "@pipe",
    "retry", "stats", "sleep",
])
# fmt: on
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-5, 1000)
    | st.floats()
    | st.sampled_from(["trigger", "worker", "hook", "t", "{t.output.data.x}", "{$job.data.x}", "x"])
    | st.text(max_size=5)
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=5),
    max_leaves=25,
)


def _only_model_invalid(source: Any, judge: Callable[..., list[Finding]]) -> None:
    for finding in judge(source):
        assert finding.message
        assert finding.severity in ("error", "warning")


@_RELAXED
@given(text=st.text(max_size=200) | _YAML)
def test_any_text_is_a_model_or_model_invalid(
    text: str, judge: Callable[..., list[Finding]]
) -> None:
    _only_model_invalid("app:\n" + text, judge)
    _only_model_invalid(text + "\n", judge)


@_RELAXED
@given(at=st.integers(0, 700), cut=st.integers(0, 30), put=_YAML, number=st.integers(0, 88))
def test_any_damage_of_a_model_is_told(
    at: int, cut: int, put: str, number: int, models: Path, judge: Callable[..., list[Finding]]
) -> None:
    text = sorted(models.glob("*.yaml"))[number].read_text()

    _only_model_invalid(text[:at] + put[:4] + text[at + cut :], judge)


@_RELAXED
@given(value=_VALUES)
def test_any_mapping_is_a_model_or_model_invalid(
    value: Any, judge: Callable[..., list[Finding]]
) -> None:
    _only_model_invalid({"app": value}, judge)
    graph = {"subscribes": "x", "activities": {"t": {"type": "trigger"}, "a": value}}
    _only_model_invalid({"app": {"id": "x", "version": "1", "graphs": [graph]}}, judge)
    graph = {"subscribes": "x", "activities": {"t": {"type": "trigger"}}, "transitions": value}
    _only_model_invalid({"app": {"id": "x", "version": "1", "graphs": [graph]}}, judge)


@_RELAXED
@given(text=st.text(max_size=30))
def test_any_path_is_a_model_or_model_invalid(text: str) -> None:
    try:
        load(text)
    except ModelInvalid as exc:
        assert exc.findings


_TREES = st.recursive(
    st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text("ab.x", min_size=1, max_size=3).filter(lambda k: "." not in k[:1]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@_RELAXED
@given(tree=_TREES, data=st.data())
def test_a_path_that_is_rendered_is_found_again(tree: Any, data: st.DataObject) -> None:
    path: list[str | int] = []
    value = tree
    while isinstance(value, (dict, list)) and value:
        key = data.draw(
            st.sampled_from(list(value) if isinstance(value, dict) else list(range(len(value))))
        )
        path.append(key)
        value = value[key]

    found: Any = tree
    for part in parse(render(path), tree):
        found = found[part]

    # Keys with dots can make two paths look alike; either way the text is read as far as it goes.
    assert render(parse(render(path), tree)) == render(path) or "." in "".join(map(str, path))

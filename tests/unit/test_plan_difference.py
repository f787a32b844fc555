"""What a deploy would change."""

from __future__ import annotations

import pytest

from hotmesh.compiler import compile_model, difference

MODEL = """
app:
  id: x
  version: '1'
  settings: {a: 1}
  graphs:
    - subscribes: run
      publishes: run.done
      expire: 60
      activities:
        t: {type: trigger}
        h: {type: hook}
      transitions:
        t: [{to: h}]
      hooks:
        go: [{to: h, conditions: {match: [{expected: k, actual: '{$self.hook.data.k}'}]}}]
    - subscribes: other
      activities:
        u: {type: trigger}
"""


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("expire: 60", "expire: 61", ("run",)),
        ("publishes: run.done", "publishes: run.over", ("run",)),
        ("hook.data.k", "hook.data.j", ("run",)),
        ("expected: k", "expected: j", ("run/h",)),
        ("{a: 1}", "{a: 2}", ("settings",)),
        ("t: [{to: h}]", "t: [{to: h, conditions: {code: 200}}]", ("run/t",)),
        ("version: '1'", "version: '2'", ()),
    ],
)
def test_every_change_is_told(old: str, new: str, changed: tuple[str, ...]) -> None:
    before, after = compile_model(MODEL).plan, compile_model(MODEL.replace(old, new)).plan

    found = difference(before, after)

    assert (found.added, found.removed, found.changed) == ((), (), changed)
    assert bool(found) == bool(changed)


def test_what_is_new_and_what_goes_is_told_by_activities() -> None:
    before = compile_model(MODEL).plan
    after = compile_model(MODEL.replace("subscribes: other", "subscribes: another")).plan

    found = difference(before, after)

    assert (found.added, found.removed, found.changed) == (("another/u",), ("other/u",), ())
    assert difference(None, after).added == ("another/u", "run/h", "run/t")

"""What changes from one plan to another."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from hotmesh.compiler.plan import ActivityPlan, Plan


class Difference(Struct, frozen=True):
    """Activities by `topic/activity`, sorted.

    `changed` are those whose plan differs, transitions included; a graph by its topic where
    something differs that is no activity's (`publishes`, `expire`, `cron`, hook rules …); and
    `settings`.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def difference(before: Plan | None, after: Plan) -> Difference:
    """What `after` adds, removes and changes; all of it is new when there was nothing before."""
    old = _activities(before) if before is not None else {}
    new = _activities(after)
    changed = {name for name in new.keys() & old.keys() if new[name] != old[name]}
    if before is not None:
        heads, others = _heads(after), _heads(before)
        changed |= {name for name in heads.keys() & others.keys() if heads[name] != others[name]}
    return Difference(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(changed)),
    )


def _activities(plan: Plan) -> dict[str, ActivityPlan]:
    return {
        f"{graph.subscribes}/{activity.id}": activity
        for graph in plan.graphs.values()
        for activity in graph.activities.values()
    }


def _heads(plan: Plan) -> dict[str, Any]:
    """What a plan says beside its activities."""
    heads: dict[str, Any] = {
        graph.subscribes: (
            msgspec.structs.replace(graph, activities={}),
            {t: rule for t, rule in plan.hooks.items() if rule.graph == graph.subscribes},
        )
        for graph in plan.graphs.values()
    }
    return {**heads, "settings": plan.settings}

"""What changes from one plan to another."""

from __future__ import annotations

from msgspec import Struct

from hotmesh.compiler.plan import ActivityPlan, Plan


class Difference(Struct, frozen=True):
    """Activities by `topic/activity`, sorted.

    `changed` are those whose plan differs, transitions included.
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
    return Difference(
        tuple(sorted(new.keys() - old.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(name for name in new.keys() & old.keys() if new[name] != old[name])),
    )


def _activities(plan: Plan) -> dict[str, ActivityPlan]:
    return {
        f"{graph.subscribes}/{activity.id}": activity
        for graph in plan.graphs.values()
        for activity in graph.activities.values()
    }

"""Old names and forms → the one form that the structs have.

Only what differs is copied; paths stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotmesh.model.findings import Findings
from hotmesh.model.marks import Path

_WITH_TOPIC = ("worker", "await")
_IO = ("input", "output", "job")


def normalise(app: dict[str, Any], texts: Mapping[Path, str], findings: Findings) -> dict[str, Any]:
    """The app with `type: activity` as `hook`, `subtype` as `topic`, and a version and id that are
    text.

    Args:
        app: The value of `app`.
        texts: The source text of an `id` or `version` that YAML reads as a number.
    """
    changed = dict(app)
    for key in ("id", "version"):
        value = app.get(key)
        if value is not None and not isinstance(value, str):
            whole = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
            changed[key] = texts.get((key,), whole)

    def renamed(activity: dict[str, Any], path: Path) -> dict[str, Any]:
        if activity.get("type") == "activity":
            activity = {**activity, "type": "hook"}
        if "subtype" in activity and activity.get("type") in _WITH_TOPIC:
            activity = _without_subtype(activity, path, findings)
        return activity

    return _each_activity(changed, renamed)


def without_ignored(app: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """The app without what the original accepts and never reads, with a warning for each.

    Such as `422: {schema: …}` beside `schema`.
    """

    def stripped(activity: dict[str, Any], path: Path) -> dict[str, Any]:
        return _without_codes(activity, path, findings)

    graphs = app.get("graphs")
    if isinstance(graphs, list):
        app = {
            **app,
            "graphs": [
                _without_codes(g, ("graphs", i), findings) if isinstance(g, dict) else g
                for i, g in enumerate(graphs)
            ],
        }
    return _each_activity(app, stripped)


def _each_activity(app: dict[str, Any], change: Any) -> dict[str, Any]:
    graphs = app.get("graphs")
    if not isinstance(graphs, list):
        return app
    changed: list[Any] = []
    for index, graph in enumerate(graphs):
        activities = graph.get("activities") if isinstance(graph, dict) else None
        if isinstance(activities, dict):
            path: Path = ("graphs", index, "activities")
            new = {
                k: change(a, (*path, k)) if isinstance(a, dict) else a
                for k, a in activities.items()
            }
            changed.append({**graph, "activities": new})
        else:
            changed.append(graph)
    return {**app, "graphs": changed}


def _without_subtype(activity: dict[str, Any], path: Path, findings: Findings) -> dict[str, Any]:
    topic = activity.get("topic", activity["subtype"])
    if topic != activity["subtype"]:
        findings.error(
            (*path, "subtype"),
            "`subtype` is an old name of `topic`, and says something else; keep `topic`",
        )
    changed = {k: v for k, v in activity.items() if k != "subtype"}
    changed["topic"] = topic
    return changed


def _without_codes(holder: dict[str, Any], path: Path, findings: Findings) -> dict[str, Any]:
    for name in _IO:
        section = holder.get(name)
        if not isinstance(section, dict):
            continue
        ignored = [k for k in section if k.isascii() and k.isdigit()]
        for key in ignored:
            findings.warn(
                (*path, name, key),
                f"is never read: only `maps` and `schema` directly under `{name}` are",
                key=True,
            )
        if ignored:
            holder = {**holder, name: {k: v for k, v in section.items() if k not in ignored}}
    return holder

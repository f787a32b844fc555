"""Writes docs/reference/durable.md from the code: `python tests/docs/durable_reference.py`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from hotmesh import durable
from hotmesh.durable import client, completing, errors, history, listing, search, steps

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "durable.md"
TOP = """# Reference: hotmesh.durable

Written from the code by `tests/docs/durable_reference.py`; a test keeps it so. The how-to is
[write durable functions](../how-to/durable-functions.md).
"""
OF_MODULE = {
    "activity": [
        "cancel_reason",
        "complete_later",
        "defn",
        "heartbeat",
        "in_activity",
        "info",
        "is_cancelled",
        "shutting_down",
        "wait_cancelled",
        "Activity",
        "ActivityInfo",
        "logger",
    ],
}


def sections() -> list[tuple[str, list[tuple[str, Any]]]]:
    """Title, and names with what they stand for."""
    public = {n: getattr(durable, n) for n in durable.__all__}
    raised = {
        name: kind
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, errors.DurableError)
    }
    plain = {n: v for n, v in public.items() if not inspect.ismodule(v) and n not in raised}
    further = [
        client.WorkflowClient,
        completing.ActivityHandle,
        steps.Step,
        steps.ChildHandle,
        search.Search,
        history.History,
        listing.WorkflowDescription,
    ]
    workflow = durable.workflow
    return [
        ("hotmesh.durable", sorted(plain.items())),
        ("What these give", [(kind.__name__, kind) for kind in further]),
        (
            "hotmesh.durable.activity",
            [(n, getattr(durable.activity, n)) for n in OF_MODULE["activity"]],
        ),
        ("hotmesh.durable.workflow", [(n, getattr(workflow, n)) for n in workflow.__all__]),
        ("hotmesh.durable.errors", sorted(raised.items())),
    ]


def page() -> str:
    """The whole page."""
    text = TOP
    for title, names in sections():
        text += f"\n## {title}\n"
        for name, value in names:
            text += _entry(name, value, title)
    return text


def _entry(name: str, value: Any, title: str) -> str:
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"\n### {name}\n\n```text\n{_shown(value)}\n```\n"
    text = f"\n### {name}\n\n```text\n{_signature(name, value)}\n```\n{_doc(value)}"
    if inspect.isclass(value) and not issubclass(value, BaseException):
        for member, found in vars(value).items():
            if member.startswith("_") or not (inspect.isfunction(found)):
                continue
            shown = _signature(f"{name}.{member}", found)
            text += f"\n```text\n{shown}\n```\n{_doc(found)}"
        if name == "Worker":
            text += (
                f"\n```text\n{_signature('Worker.create', value.create)}\n```\n{_doc(value.create)}"
            )
    return text


def _signature(name: str, value: Any) -> str:
    prefix = "async " if inspect.iscoroutinefunction(value) else ""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return f"{prefix}{name}(...)"
    parts = [_parameter(p) for p in signature.parameters.values() if p.name not in ("self", "cls")]
    keyword = [p.kind for p in signature.parameters.values()]
    star = inspect.Parameter.KEYWORD_ONLY
    if star in keyword and inspect.Parameter.VAR_POSITIONAL not in keyword:
        first = next(p.name for p in signature.parameters.values() if p.kind is star)
        at = next(i for i, part in enumerate(parts) if part.startswith(first + ":"))
        parts.insert(at, "*")
    given = signature.return_annotation
    gives = "" if given is inspect.Signature.empty else f" -> {_type(given)}"
    whole = f"{prefix}{name}({', '.join(parts)}){gives}"
    if len(whole) <= 120:
        return whole
    lines = ",\n".join(f"    {part}" for part in parts)
    return f"{prefix}{name}(\n{lines},\n){gives}"


def _parameter(parameter: inspect.Parameter) -> str:
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is not parameter.empty:
        shown = repr(parameter.default)
        text += f" = {'...' if shown.startswith('<') else shown}"
    return text


def _type(annotation: Any) -> str:
    if isinstance(annotation, str):
        return annotation
    plain = inspect.isclass(annotation) and not str(annotation).endswith("]")
    text = annotation.__name__ if plain else str(annotation)
    return re.sub(r"\b(typing|datetime|collections\.abc|hotmesh\.[\w.]+)\.", "", text)


def _doc(value: Any) -> str:
    text = inspect.cleandoc(value.__doc__ or "")
    lines = [re.sub(r"^(\w+):$", r"**\1**\n", line) for line in text.splitlines()]
    body = "\n".join(re.sub(r"^    (\S)", r"- \1", line) for line in lines)
    body = re.sub(r"^ {8}(?=\S)", "  ", body, flags=re.M)
    return f"\n{body}\n" if body else ""


def _shown(value: Any) -> str:
    return re.sub(r"<(class )?'?([\w.]+)[^>]*>", r"\2", repr(value)).replace(", ", ",\n    ")


if __name__ == "__main__":
    PAGE.write_text(page())

"""`hotmesh pipe`."""

from __future__ import annotations

from typing import Any

import msgspec

from hotmesh.cli.arguments import read_json, read_text, read_time
from hotmesh.cli.context import Cli
from hotmesh.cli.output import UsageError, to_json
from hotmesh.mapping import (
    UNDEFINED,
    evaluate,
    evaluate_condition,
    evaluate_maps,
    is_reference,
    plain,
)


def pipe(
    rule: str,
    context: str = "{}",
    /,
    *,
    maps: bool = False,
    condition: bool = False,
    code: int = 200,
    now: str | None = None,
    cli: Cli,
) -> None:
    """Evaluate a mapping rule against a context. Needs no server.

    Args:
        rule: JSON such as {"@pipe": [...]}, or a bare '{a1.output.data.x}'; @file, or - for stdin.
        context: What references walk from, as JSON, @file, or - for stdin.
        maps: The rule is a whole `maps` object.
        condition: The rule is the condition of a transition.
        code: What the condition compares with.
        now: Pins the clock, in ISO 8601.
    """
    if maps and condition:
        raise UsageError("--maps and --condition exclude each other")
    told, at = _rule(rule), read_time(now, "--now") if now else None
    scope = read_json(context, "the context")
    if not isinstance(scope, dict):
        raise UsageError('the context is a JSON object, such as \'{"a1": {"output": {}}}\'')
    if condition:
        value: Any = evaluate_condition(told, scope, code, at)
    elif maps:
        value = evaluate_maps(told, scope, at)
    else:
        value = evaluate(told, scope, at)
    if cli.output.json:
        known = {"undefined": True} if value is UNDEFINED else {"value": plain(value)}
        cli.output.result(known)
    else:
        cli.output.line("undefined" if value is UNDEFINED else to_json(plain(value), indent=True))


def _rule(argument: str) -> Any:
    text = read_text(argument, "the rule").strip()
    try:
        return msgspec.json.decode(text)  # first: every JSON object has the braces of a reference
    except msgspec.DecodeError as exc:
        if is_reference(text) and '"' not in text:
            return text
        raise UsageError(
            f"the rule is neither JSON ({exc}) nor a reference such as '{{a1.output.data.x}}'"
        ) from exc

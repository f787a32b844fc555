"""JSON Schema checks, compiled once: for graphs and activities that say `validate: true`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from hotmesh.errors import Finding, ModelInvalid, PayloadInvalid

Validator: TypeAlias = Callable[[Any, str], None]
"""Takes data and what it is called in errors; raises PayloadInvalid."""

_ERRORS_MAX = 5  # more than this in one message helps nobody


def validator(schema: Any, path: str) -> Validator | None:
    """The check for a schema, None for no schema.

    Raises:
        ModelInvalid: The schema itself is wrong.
    """
    if schema is None:
        return None
    import jsonschema_rs  # an app that validates nothing does not pay for it

    try:
        # Nothing is fetched, and messages show no payload.
        compiled = jsonschema_rs.validator_for(schema, offline=True, mask="the value")
    except (jsonschema_rs.ValidationError, ValueError) as exc:
        raise ModelInvalid(
            [Finding(f"the schema is not valid JSON Schema: {exc}", path=path)]
        ) from exc

    def check(data: Any, what: str) -> None:
        if compiled.is_valid(data):
            return
        faults = [
            (_field(error.instance_path), error.message) for error in compiled.iter_errors(data)
        ]
        told = "; ".join(f"{field}: {message}" for field, message in faults[:_ERRORS_MAX])
        more = f" (and {len(faults) - _ERRORS_MAX} more)" if len(faults) > _ERRORS_MAX else ""
        raise PayloadInvalid(f"{what} does not fit its schema: {told}{more}", field=faults[0][0])

    return check


def _field(path: list[str | int]) -> str:
    return "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path)

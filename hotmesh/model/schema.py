"""The JSON Schema of the language, for editors: completion, descriptions, a first check.

It is made from the structs and their docstrings. It is looser than `load` and `check`, which judge:
a value may also be a `$ref`, and what needs the whole model is not in it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import inspect

from hotmesh.model.shape import descriptions, summary
from hotmesh.model.types import App, RetryPolicy

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_REF = {
    "title": "Ref",
    "description": "What a file, or a part of it, holds: './file.yaml' or './file.yaml#/pointer'.",
    "type": "object",
    "properties": {"$ref": {"type": "string"}},
    "required": ["$ref"],
    "additionalProperties": False,
}
_TIMES = {
    "type": "array",
    "prefixItems": [{"type": "integer", "minimum": 1, "maximum": 3}, {"const": "x"}],
    "minItems": 1,
    "items": False,
}
_RETRY = {
    "anyOf": [
        {"type": "object", "patternProperties": {"^[1-9][0-9]{2}$": _TIMES}, "minProperties": 1}
        | {"additionalProperties": False},
        {"$ref": "#/$defs/RetryPolicy"},
    ]
}
_DURATION = {"type": ["number", "string"]}
_SCHEMA = {"type": ["object", "boolean"]}

# Fields that the structs leave open and `check` closes.
_FIELDS: dict[str, dict[str, Any]] = {
    "retry": _RETRY,
    "timeout": _DURATION,
    "pending": _DURATION,
    "initial_interval": _DURATION,
    "maximum_interval": _DURATION,
    "schema": _SCHEMA,
    "version": {"type": ["string", "number"]},
    "id": {"type": ["string", "number"]},
    "granularity": {"enum": ["5m", "10m", "15m", "30m", "1h", "infinity"]},
}
_OPEN_IDS = ("Stats",)  # whose `id` is a rule


def json_schema() -> dict[str, Any]:
    """The schema of a model file, draft 2020-12."""
    _, defs = msgspec.json.schema_components((App, RetryPolicy), ref_template="#/$defs/{name}")
    roots = (inspect.type_info(App), inspect.type_info(RetryPolicy))
    described = {cls.__name__: cls for cls in _structs(*roots)}
    definitions: dict[str, Any] = {"Ref": _REF}
    for name, definition in defs.items():
        definitions[name] = _finished(name, definition, described[name])
    return {
        "$schema": _DIALECT,
        "title": "A hotmesh model",
        "type": "object",
        "properties": {"app": {"$ref": "#/$defs/App"}},
        "required": ["app"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _structs(*roots: Any) -> set[type]:
    """The structs of some types and of all that is below them."""
    found: set[type] = set()
    todo: list[Any] = list(roots)
    while todo:
        match todo.pop():
            case inspect.UnionType() as union:
                todo += union.types
            case inspect.VarTupleType() as items:
                todo.append(items.item_type)
            case inspect.DictType() as mapping:
                todo.append(mapping.value_type)
            case inspect.StructType() as struct if struct.cls not in found:
                found.add(struct.cls)
                todo += [field.type for field in struct.fields]
    return found


def _finished(name: str, definition: dict[str, Any], cls: type) -> dict[str, Any]:
    told = descriptions(cls)
    properties: dict[str, Any] = {}
    for key, value in definition["properties"].items():
        closed = _FIELDS.get(key) if name not in _OPEN_IDS or key != "id" else None
        described = {"description": told[key]} if key in told else {}
        properties[key] = {**_with_refs(closed or value), **described}
    done = {**definition, "properties": properties}
    done["description"] = summary(cls)
    if name == "Hook":
        properties["type"] = {"enum": ["hook", "activity"]}
    if name in ("Worker", "Await"):
        properties["subtype"] = {"description": "An old name of `topic`.", "deprecated": True}
        done["required"] = [key for key in definition["required"] if key != "topic"]
        done["anyOf"] = [{"required": ["topic"]}, {"required": ["subtype"]}]
    if name == "Io":
        done["patternProperties"] = {"^[0-9]+$": {"deprecated": True}}
    return {"anyOf": [{"$ref": "#/$defs/Ref"}, done]}


def _with_refs(value: Any) -> Any:
    """A schema whose mappings and lists may also be a `$ref`, without defaults that say nothing."""
    if isinstance(value, list):
        return [_with_refs(item) for item in value]
    if not isinstance(value, dict):
        return value
    done = {
        key: _with_refs(item)
        for key, item in value.items()
        if key != "discriminator" and (key, item) not in (("default", None), ("default", {}))
    }
    if (
        "additionalProperties" in done
        and "properties" not in done
        and "patternProperties" not in done
    ):
        done["properties"] = {"$ref": {"type": "string"}}
    if done.get("type") == "array" and "prefixItems" not in done:
        return {"anyOf": [{"$ref": "#/$defs/Ref"}, done]}
    return done

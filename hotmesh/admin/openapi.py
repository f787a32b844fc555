"""The table of addresses as OpenAPI 3.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from hotmesh.admin.endpoints import Endpoint
from hotmesh.admin.errors import Problem
from hotmesh.release import RELEASE

_REF = "#/components/schemas/{name}"


def document(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """The document."""
    structs = [Problem, *{e.gives for e in endpoints if e.gives is not None}]
    refs, schemas = msgspec.json.schema_components(structs, ref_template=_REF)
    by_struct = dict(zip(structs, refs, strict=True))
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        operation = _operation(endpoint, by_struct)
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hotmesh admin",
            "version": RELEASE,
            "description": "Health, metrics, the fleet, jobs and dead letters of one app.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{"bearer": []}, {"basic": []}, {}],
    }


def _operation(endpoint: Endpoint, refs: dict[Any, Any]) -> dict[str, Any]:
    gives = refs.get(endpoint.gives)
    content = {
        media: {"schema": gives if gives and media == "application/json" else {"type": "string"}}
        for media in endpoint.media
    }
    told: dict[str, Any] = {"200": {"description": "Done.", "content": content}}
    if not endpoint.is_open:
        told["401"] = _failure("The token is missing.", refs)
        told["403"] = _failure("The request comes from another site.", refs)
    for status, when in endpoint.fails.items():
        told[str(status)] = _failure(when, refs)
    if endpoint.is_open and 503 in endpoint.fails:
        told["503"] = {"description": endpoint.fails[503], "content": content}
    operation: dict[str, Any] = {
        "summary": endpoint.about,
        "operationId": f"{endpoint.view.__name__}",
        "parameters": [
            {
                "name": p.name,
                "in": p.place,
                "required": p.place == "path",
                "description": p.about,
                "schema": p.schema,
            }
            for p in endpoint.parameters
        ],
        "responses": told,
    }
    if endpoint.is_open:
        operation["security"] = [{}]
    return operation


def _failure(when: str, refs: dict[Any, Any]) -> dict[str, Any]:
    schema = {"type": "object", "required": ["error"], "properties": {"error": refs[Problem]}}
    return {"description": when, "content": {"application/json": {"schema": schema}}}

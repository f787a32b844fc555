"""The JSON Schema for editors agrees with the models that load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from hotmesh.model import json_schema
from hotmesh.model.compose import compose

VALIDATOR = jsonschema_rs.validator_for(json_schema(), offline=True)


def graph(**more: Any) -> dict[str, Any]:
    one = {"subscribes": "x", "activities": {"t": {"type": "trigger"}}, **more}
    return {"app": {"id": "x", "version": "1", "graphs": [one]}}


def test_it_accepts_every_conformance_model(models: Path) -> None:
    for file in sorted(models.glob("*.yaml")):
        value = compose(file.read_text(), file.name)[0].value

        assert VALIDATOR.is_valid(value), file.name


@pytest.mark.parametrize(
    "activity",
    [
        {"type": "activity"},
        {"type": "worker", "subtype": "x"},
        {"type": "worker", "topic": "x", "retry": {"503": [3, "x"]}},
        {
            "type": "worker",
            "topic": "x",
            "retry": {"maximum_attempts": 5, "initial_interval": "1s"},
        },
        {"type": "await", "topic": {"@pipe": []}, "await": False},
        {"type": "hook", "output": {"422": {"schema": {}}, "maps": {"a": [1]}}},
        {"$ref": "./activity.yaml"},
    ],
)
def test_it_accepts_what_loads(activity: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(graph(activities={"a": activity}))


@pytest.mark.parametrize(
    "activity",
    [
        {},
        {"type": "worker"},
        {"type": "wroker", "topic": "x"},
        {"type": "hook", "topic": "x"},
        {"type": "worker", "topic": "x", "retry": {"503": [4]}},
        {"type": "worker", "topic": "x", "retry": {"attempts": 4}},
        {"type": "worker", "topic": "x", "input": {"map": {}}},
        {"type": "trigger", "stats": {"granularity": "daily"}},
    ],
)
def test_it_refuses_what_does_not(activity: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(graph(activities={"a": activity}))


def test_properties_are_described() -> None:
    worker = json_schema()["$defs"]["Worker"]["anyOf"][1]

    assert worker["properties"]["retry"]["description"].startswith("After which errors")
    assert worker["properties"]["emit"]["description"].startswith("When true")
    assert "Attributes" not in worker["description"]
    undescribed = [
        f"{name}.{key}"
        for name, schema in json_schema()["$defs"].items()
        for key, value in schema.get("anyOf", [{}, {}])[1].get("properties", {}).items()
        if key != "type" and "description" not in value
    ]
    assert undescribed == []

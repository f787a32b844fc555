"""Decides and applies: the engine, and the component that feeds it from the engine streams."""

from hotmesh.engine.component import EngineComponent
from hotmesh.engine.handle import Arrival, Engine, Settled

__all__ = ["Arrival", "Engine", "EngineComponent", "Settled"]

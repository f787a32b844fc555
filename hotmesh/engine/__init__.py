"""Decides and applies: the engine, and the component that feeds it from the engine streams."""

from hotmesh.engine.arrival import Arrival
from hotmesh.engine.component import EngineComponent
from hotmesh.engine.cron import arm
from hotmesh.engine.handle import Engine, Settled
from hotmesh.engine.hook_all import hook_all

__all__ = ["Arrival", "Engine", "EngineComponent", "Settled", "arm", "hook_all"]

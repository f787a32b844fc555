"""The router that any asyncio service embeds: handlers and routes over topics and plain streams."""

from hotmesh.errors import DeliveryLost, Reject
from hotmesh.routing.consumer import Middleware
from hotmesh.routing.delivery import Delivery
from hotmesh.routing.desk import Letter
from hotmesh.routing.position import Position
from hotmesh.routing.route import Match
from hotmesh.routing.router import Router

__all__ = [
    "Delivery",
    "DeliveryLost",
    "Letter",
    "Match",
    "Middleware",
    "Position",
    "Reject",
    "Router",
]

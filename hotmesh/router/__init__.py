"""The consumer-group runtime: batching, leases, claims, retries, dead letters, back-pressure."""

from hotmesh.router.delivery import Delivery
from hotmesh.router.loop import Router, RouterSettings
from hotmesh.router.retry import next_delay_ms

__all__ = ["Delivery", "Router", "RouterSettings", "next_delay_ms"]

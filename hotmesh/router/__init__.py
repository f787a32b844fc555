"""The consumer-group runtime: batching, leases, claims, retries, dead letters, back-pressure."""

from hotmesh.router.delivery import Delivery, Key, parse_fields
from hotmesh.router.loop import Router, RouterSettings
from hotmesh.router.retry import next_delay_ms

__all__ = ["Delivery", "Key", "Router", "RouterSettings", "next_delay_ms", "parse_fields"]

"""Spans, metrics and logs, from notes: what a transition did is told only once its script has
run.
"""

from hotmesh.telemetry.observer import Observer

__all__ = ["Observer"]

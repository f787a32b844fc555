"""Durable workflows and an event-driven service mesh on the Redis or Valkey that you already
run.
"""

from hotmesh.errors import HotMeshError, JobError, JobNotFound, JobTimeout
from hotmesh.mesh import DeployResult, HotMesh, JobOutput, RetryPolicy, Settings, Worker
from hotmesh.messages import StreamData, StreamResult

__all__ = [
    "DeployResult",
    "HotMesh",
    "HotMeshError",
    "JobError",
    "JobNotFound",
    "JobOutput",
    "JobTimeout",
    "RetryPolicy",
    "Settings",
    "StreamData",
    "StreamResult",
    "Worker",
]

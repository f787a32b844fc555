"""HotMesh: the facade."""

from hotmesh.mesh.facade import HotMesh
from hotmesh.mesh.options import DeployResult, PlanResult, RetryPolicy, Settings, Worker
from hotmesh.mesh.output import JobFailure, JobMetadata, JobOutput
from hotmesh.mesh.subscriptions import OutputSubscription
from hotmesh.mesh.timeline import Timeline

__all__ = [
    "DeployResult",
    "HotMesh",
    "JobFailure",
    "JobMetadata",
    "JobOutput",
    "OutputSubscription",
    "PlanResult",
    "RetryPolicy",
    "Settings",
    "Timeline",
    "Worker",
]

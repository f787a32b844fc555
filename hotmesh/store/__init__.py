"""Keys, scripts, load and apply: the only place with Redis commands for jobs."""

from hotmesh.store.jobs import (
    ANSWER_RETRIES_MAX,
    Apply,
    Clock,
    Entry,
    New,
    Store,
    Verdict,
    retrying,
)
from hotmesh.store.keys import GROUP_ENGINE, GROUP_WORKER, Keys, Partition
from hotmesh.store.plans import Deployed, Plans, partitions_of

__all__ = [
    "ANSWER_RETRIES_MAX",
    "GROUP_ENGINE",
    "GROUP_WORKER",
    "Apply",
    "Clock",
    "Deployed",
    "Entry",
    "Keys",
    "New",
    "Partition",
    "Plans",
    "Store",
    "Verdict",
    "partitions_of",
    "retrying",
]

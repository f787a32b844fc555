"""User code: functions linked to topics."""

from hotmesh.worker.component import WorkerComponent
from hotmesh.worker.invoke import CODES, reply_of
from hotmesh.worker.settle import Remote, Settle
from hotmesh.worker.signature import Handler

__all__ = ["CODES", "Handler", "Remote", "Settle", "WorkerComponent", "reply_of"]

"""What users test with, on a real server: the embedded one.

Nothing here imitates Redis. Fixtures for pytest come with the package (`hotmesh.testing.plugin`);
everything can be used without pytest too.
"""

from hotmesh.testing.clock import restore_time, skip_time
from hotmesh.testing.names import app_id_of
from hotmesh.testing.routers import Handled, RouterClient
from hotmesh.testing.server import embedded_server
from hotmesh.testing.tracing import capture_spans
from hotmesh.testing.waiting import eventually

__all__ = [
    "Handled",
    "RouterClient",
    "app_id_of",
    "capture_spans",
    "embedded_server",
    "eventually",
    "restore_time",
    "skip_time",
]

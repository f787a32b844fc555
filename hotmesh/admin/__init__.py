"""HTTP for operators: health, metrics, the fleet, jobs and dead letters of one app.

Needs the extra `admin` (starlette, uvicorn). Importing this package needs nothing: what it serves
with is imported when it is started.
"""

from hotmesh.admin.address import Address, parse_address
from hotmesh.admin.component import Admin

__all__ = ["Address", "Admin", "parse_address"]

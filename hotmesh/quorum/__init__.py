"""The fleet: who is there, how it agrees on a version, and what it is told."""

from hotmesh.quorum.component import Quorum
from hotmesh.quorum.member import Member, Served, join
from hotmesh.quorum.protocol import Activation
from hotmesh.quorum.roll import roll_call
from hotmesh.quorum.wire import Part, Profile, Throttle

__all__ = [
    "Activation",
    "Member",
    "Part",
    "Profile",
    "Quorum",
    "Served",
    "Throttle",
    "join",
    "roll_call",
]

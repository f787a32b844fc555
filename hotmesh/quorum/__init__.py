"""The fleet: who is there, and how it agrees on a version."""

from hotmesh.quorum.member import Member, Profile
from hotmesh.quorum.protocol import Activation

__all__ = ["Activation", "Member", "Profile"]

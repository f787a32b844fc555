"""Where the admin listens: `[HOST:]PORT`, loopback unless a host is named."""

from __future__ import annotations

import ipaddress
import re

from msgspec import Struct

from hotmesh.errors import SettingsInvalid
from hotmesh.settings import called

LOOPBACK = "127.0.0.1"
TOKEN_LENGTH_MIN = 16
"""A shorter token can be guessed."""

_FORM = re.compile(r"(?:(?P<host>\[[^\]]+\]|[^:\[\]]+):)?(?P<port>\d{1,5})", re.ASCII)


class Address(Struct, frozen=True):
    """A host, without brackets, and a port; port 0 takes any that is free."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether nobody outside this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False  # a name: what it means is decided elsewhere

    @property
    def url(self) -> str:
        """What a browser on this machine is given."""
        host = LOOPBACK if self.host in ("0.0.0.0", "") else self.host
        host = "::1" if host == "::" else host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def parse_address(text: str, *, token: str | None) -> Address:
    """The address that a setting names.

    Args:
        text: `8642`, `0.0.0.0:8642` or `[::1]:8642`.
        token: What callers must show; needed for anything but loopback.

    Raises:
        SettingsInvalid: It is no address, the token is too short, or others could reach it without
        one.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None or int(match["port"]) > 65_535:
        raise SettingsInvalid(
            f"the admin's address is [HOST:]PORT, such as 8642 or 0.0.0.0:8642, not {text!r:.80}; "
            f"{called('admin.bind')}"
        )
    address = Address((match["host"] or LOOPBACK).strip("[]"), int(match["port"]))
    if token is not None and len(token) < TOKEN_LENGTH_MIN:
        raise SettingsInvalid(
            f"the admin's token has at least {TOKEN_LENGTH_MIN} characters; {called('admin.token')}"
        )
    if token is None and not address.is_loopback:
        raise SettingsInvalid(
            f"the admin would be open to everybody who reaches {address.host}; "
            f"give it a token ({called('admin.token')}), or bind it to {LOOPBACK}"
        )
    return address

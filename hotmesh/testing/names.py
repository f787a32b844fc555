"""App ids and namespaces that no other test has."""

from __future__ import annotations

import re
import secrets

NAME_MAX = 24


def app_id_of(name: str) -> str:
    """An app id for a test of this name: letters, digits and dashes, at most 40, and never the
    same twice. It can be a namespace as well.
    """
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name.removeprefix("test_"))
    return f"{plain[:NAME_MAX].strip('-') or 't'}-{secrets.token_hex(6)}"

"""Names of things: drawn ones (`guid`) at the edge, derived ones (`derive`) inside a transition.

A transition may be decided again on fresh state, so what it creates must get the same id each time.
"""

from __future__ import annotations

import hashlib
import os
import re
from urllib.parse import quote
from zlib import crc32

from hotmesh.errors import NameInvalid

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
GUID_LENGTH = 21  # 126 bits, the form that the original's users know

JOB_ID_BYTES_MAX = 256
_PLAIN = re.compile(r"[A-Za-z0-9._~-]+", re.ASCII)
_APP_ID = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)


def guid() -> str:
    """A new random id of 21 URL-safe characters."""
    return "".join([_ALPHABET[b & 63] for b in os.urandom(GUID_LENGTH)])


def derive(*parts: str) -> str:
    """The id that follows from `parts`: 24 hex digits, the same in every process and at every
    repetition.
    """
    return hashlib.blake2b(
        "\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=12
    ).hexdigest()


def span_id(*parts: str) -> str:
    """The span id that follows from `parts`: 16 hex digits."""
    return hashlib.blake2b(
        "\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=8
    ).hexdigest()


def partition_of(job_id: str, partitions: int) -> int:
    """The partition that holds a job.

    Fixed for ever: changing this function would lose every stored job.
    """
    return crc32(job_id.encode()) % partitions if partitions > 1 else 0


def escape(name: str) -> str:
    """`name` with everything but `A-Za-z0-9._~-` percent-encoded: safe in keys, channels and
    patterns.
    """
    return name if _PLAIN.fullmatch(name) else quote(name, safe="~")


def check_job_id(job_id: object) -> str:
    """The job id if it can be one.

    Raises:
        NameInvalid: Not text, empty, over 256 bytes of UTF-8, or with lone surrogates.
    """
    if not isinstance(job_id, str):
        raise NameInvalid(
            f"a job id is text, not {type(job_id).__name__}; check the id that the "
            "trigger's stats.id maps"
        )
    try:
        size = len(job_id.encode())
    except UnicodeEncodeError as exc:
        raise NameInvalid(
            "a job id holds characters that have no UTF-8 form (lone surrogates)"
        ) from exc
    if "\0" in job_id:
        raise NameInvalid("a job id holds no NUL character")
    if not 0 < size <= JOB_ID_BYTES_MAX:
        raise NameInvalid(f"a job id has 1 to {JOB_ID_BYTES_MAX} bytes of UTF-8, not {size}")
    return job_id


def check_app_id(app_id: str) -> str:
    """The app id if it can stand in keys.

    Raises:
        NameInvalid: Anything but letters, digits and dashes, or over 64 characters.
    """
    if not isinstance(app_id, str) or not _APP_ID.fullmatch(app_id) or len(app_id) > 64:
        raise NameInvalid(f"app id {app_id!r} must be 1 to 64 letters, digits and dashes")
    return app_id


def check_topic(topic: str) -> str:
    """The topic if it can stand in keys and channels.

    Raises:
        NameInvalid: Anything but letters, digits, `.`, `_` and `-`, a leading dot or dash, or over
        128 characters.
    """
    if not isinstance(topic, str) or not _TOPIC.fullmatch(topic):
        raise NameInvalid(
            f"topic {topic!r:.200} must be 1 to 128 letters, digits, '.', '_' and '-', and "
            "begin with a letter, digit or '_'"
        )
    return topic

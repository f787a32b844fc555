"""Whatever a user names, its keys lie in the slot that they belong to, are no pattern, and are
those of nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from hypothesis import given, settings
from hypothesis import strategies as st
from redis.crc import key_slot

from hotmesh.errors import NameInvalid
from hotmesh.ids import JOB_ID_BYTES_MAX, check_app_id, check_job_id, check_topic, partition_of
from hotmesh.store import Keys, Partition

HOSTILE = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="{}/:*?[]%\\ \n\r\t\0,~.-_a0é☃🐢", max_size=80),
    st.sampled_from(["", "{}", "}{", "{x}", "a}:s:b", "x" * 5_000, "é" * 300, "\ud800", "..", "*"]),
)
FEW_PARTITIONS = st.sampled_from([1, 4, 16])
KEYS_BYTES_MAX = 1_200
"""Three bytes of each byte of the longest job id, and what stands before it."""


def made_of(partition: Partition, text: str) -> Iterator[str]:
    """Keys of one partition that hold a text that a user chose."""
    for make in (
        lambda: partition.job(check_job_id(text)),
        lambda: partition.worker(check_topic(text)),
        lambda: partition.waiters("topic", text),
        lambda: partition.early("topic", text),
        lambda: partition.receipt(text),
        lambda: partition.stats("topic", "i", text),
    ):
        with contextlib.suppress(NameInvalid, UnicodeEncodeError):
            yield make()


@given(HOSTILE, FEW_PARTITIONS)
@settings(max_examples=500, deadline=None)
def test_a_key_lies_in_the_slot_of_its_partition_and_is_plain(text: str, count: int) -> None:
    keys = Keys("hm", "app-1", count)
    for partition in keys.partitions:
        slot = key_slot(partition.engine.encode())
        for key in made_of(partition, text):
            assert key_slot(key.encode()) == slot
            assert key.startswith(partition.prefix) and key.isascii() and key.isprintable()
            rest = key.removeprefix(partition.prefix)
            assert not set(rest) & set(" {}*?[]\\^\n\r\t\0")
            assert len(key) <= KEYS_BYTES_MAX


@given(HOSTILE, HOSTILE)
@settings(max_examples=500, deadline=None)
def test_different_names_have_different_keys(one: str, other: str) -> None:
    partition = Keys("hm", "app-1").partitions[0]
    mine, theirs = list(made_of(partition, one)), list(made_of(partition, other))

    assert len(set(mine)) == len(mine)
    if one != other:
        assert not set(mine) & set(theirs)


@given(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_a_job_id_is_taken_or_refused_for_its_size_or_what_has_no_form(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = 0
    is_good = 0 < size <= JOB_ID_BYTES_MAX and "\0" not in text
    refused = _refuses(check_job_id, text)

    assert refused is not is_good
    if is_good:
        assert 0 <= partition_of(text, 16) < 16


@given(HOSTILE)
@settings(max_examples=300, deadline=None)
def test_an_app_id_or_a_topic_that_is_taken_can_stand_in_any_key(text: str) -> None:
    if not _refuses(check_app_id, text):
        keys = Keys(text, text, 4)
        tags = {p.engine[p.engine.index("{") + 1 : p.engine.index("}")] for p in keys.partitions}
        assert len(tags) == 4 and key_slot(keys.app.encode()) == key_slot(keys.members.encode())
    if not _refuses(check_topic, text):
        assert not set(text) & set("{}*?[]:/\\ \n\r\t\0,")


def _refuses(check: Callable[[str], str], text: str) -> bool:
    try:
        check(text)
    except NameInvalid:
        return True
    return False

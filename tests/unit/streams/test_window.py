"""Windows: spans of time, by example and by property."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotmesh.errors import SettingsInvalid
from hotmesh.streams.window import Span, hopping, session, sliding, tumbling

times = st.integers(0, 4_000_000_000_000)
sizes = st.integers(1, 100_000)


@given(at_ms=times, size=sizes)
def test_a_moment_is_in_one_tumbling_window(at_ms: int, size: int) -> None:
    window = tumbling(size / 1000)

    (span,) = window.spans(at_ms)

    assert span.start_ms <= at_ms < span.end_ms == span.start_ms + size
    assert span.start_ms % size == 0
    assert window.seen(at_ms) == [span]


@given(at_ms=times, step=sizes, factor=st.integers(1, 20), rest=st.integers(0, 99))
def test_a_moment_is_in_every_hopping_window_that_holds_it(
    at_ms: int, step: int, factor: int, rest: int
) -> None:
    size = step * factor + min(rest, step - 1)
    window = hopping(size / 1000, step / 1000)

    spans = window.spans(at_ms)

    first = at_ms // step * step - size
    expected = [
        Span(s, s + size) for s in range(first // step * step, at_ms + 1, step) if s + size > at_ms
    ]
    assert spans == [s for s in expected if s.start_ms <= at_ms]
    assert window.seen(at_ms) == spans[:1]


@given(at_ms=times, size=st.integers(100, 100_000), steps=st.integers(1, 50))
def test_a_sliding_window_is_panes_that_reach_back_its_size(
    at_ms: int, size: int, steps: int
) -> None:
    step = max(1, size // steps)
    window = sliding(size / 1000, step / 1000)

    panes = window.seen(at_ms)

    assert window.spans(at_ms) == panes[-1:]
    assert all(a.end_ms == b.start_ms for a, b in pairwise(panes))
    assert panes[0].start_ms > at_ms - size - step
    assert panes[-1].start_ms <= at_ms < panes[-1].end_ms


def test_windows_expire_after_their_end() -> None:
    window = tumbling("10s", expires="20s")

    assert not window.expired(10_000, 29_999)
    assert window.expired(10_000, 30_000)


def test_nonsense_is_refused() -> None:
    for make in (
        lambda: tumbling(0),
        lambda: hopping("1s", "2s"),
        lambda: sliding("1 day", "1s"),
        lambda: session("0s"),
        lambda: tumbling("1s", late="maybe"),
    ):
        with pytest.raises(SettingsInvalid):
            make()

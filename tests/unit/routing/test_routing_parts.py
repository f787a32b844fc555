"""Positions, rates, keys, files of routes: what needs no server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hotmesh.errors import MappingError, NameInvalid, SettingsInvalid
from hotmesh.mapping import Env
from hotmesh.routing.delivery import Delivery
from hotmesh.routing.file import RoutesInvalid, read_tables
from hotmesh.routing.keys import check_group, lane_of_stream, lane_of_topic
from hotmesh.routing.pace import Pace, interval_of
from hotmesh.routing.position import after_of
from hotmesh.routing.route import Match, Rules
from hotmesh.routing.signature import call_of, signature_of
from hotmesh.streams.keys import Space

NOW_MS = 1_700_000_000_000
MAX = 2**64 - 1


@pytest.mark.parametrize(
    ("position", "after"),
    [
        ("earliest", "0"),
        ("latest", "$"),
        ("1700000000000-5", "1700000000000-4"),
        ("1700000000000-0", f"1699999999999-{MAX}"),
        ("0-0", "0"),
        (1_700_000_000_000, f"1699999999999-{MAX}"),
        (datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), f"1699999999999-{MAX}"),
        (datetime(2023, 11, 14, 22, 13, 20), f"1699999999999-{MAX}"),
        ("2023-11-14T22:13:20Z", f"1699999999999-{MAX}"),
        ("2h", f"{NOW_MS - 7_200_000 - 1}-{MAX}"),
        (timedelta(hours=2), f"{NOW_MS - 7_200_000 - 1}-{MAX}"),
    ],
)
def test_a_position_includes_the_entry_that_it_names(position: Any, after: str) -> None:
    assert after_of(position, NOW_MS) == after


@pytest.mark.parametrize("position", ["soon", "", -1, True, 1.5, None, "1-2-3", "9-"])
def test_what_is_no_position_is_refused(position: Any) -> None:
    with pytest.raises(SettingsInvalid, match="no position"):
        after_of(position, NOW_MS)


@pytest.mark.parametrize(
    ("rate", "interval_s"),
    [("100/s", 0.01), ("5/min", 12.0), ("10/1h", 360.0), ("0.5 / s", 2.0), ("1000/500ms", 0.0005)],
)
def test_rates(rate: str, interval_s: float) -> None:
    assert interval_of(rate) == pytest.approx(interval_s)


@pytest.mark.parametrize("rate", ["", "100", "0/s", "-1/s", "x/s", "1/", "1/fortnight", 7])
def test_what_is_no_rate_is_refused(rate: Any) -> None:
    with pytest.raises(SettingsInvalid, match="is not a rate"):
        interval_of(rate)


def test_turns_come_at_the_rate_and_a_pause_gives_no_burst_beyond_its_bound() -> None:
    pace = Pace("10/s")

    first = [pace.delay(100.0) for _ in range(5)]
    later = [pace.delay(200.0) for _ in range(4)]

    assert first == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.3])
    assert later == pytest.approx([0.0, 0.0, 0.1, 0.2])


@pytest.mark.parametrize(
    ("stream", "tag"),
    [
        ("orders", "orders"),
        ("legacy:{shop}:orders", "shop"),
        ("a{}b", "a{}b"),
        ("a{b", "a{b"),
        ("{x}{y}", "x"),
    ],
)
def test_what_a_group_keeps_lies_in_the_slot_of_its_stream(stream: str, tag: str) -> None:
    lane = lane_of_stream("hm", stream, "g")

    assert lane.stream == stream
    for key in (lane.again, lane.timers, lane.dead):
        assert key.startswith(f"hm:{{{tag}}}:")
        assert key.endswith(":g")


def test_lanes_of_topics_and_streams_of_different_names_never_meet() -> None:
    space = Space("hm")
    lanes = [
        lane_of_topic(space.slot(0), "a", "g"),
        lane_of_topic(space.slot(1), "a", "g"),
        lane_of_topic(space.slot(0), "b", "g"),
        lane_of_topic(space.slot(0), "a", "h"),
        lane_of_stream("hm", "a", "g"),
        lane_of_stream("hm", "a:g", "g"),
        lane_of_stream("hm", "a" * 400, "g"),
        lane_of_stream("hm", "a" * 401, "g"),
    ]
    keys = [key for lane in lanes for key in (lane.again, lane.timers, lane.dead)]

    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("group", ["", "a b", "x" * 65, "{g}", None])
def test_a_group_that_can_not_stand_in_keys_is_refused(group: Any) -> None:
    with pytest.raises(NameInvalid):
        check_group(group)


def test_how_handlers_are_called() -> None:
    ctx = Delivery("1-0", "t", None, {}, extend=None)  # type: ignore[arg-type]

    def value_only(order: int) -> Any:
        return ("v", order)

    def both(order: int, ctx: Delivery) -> Any:
        return ("b", order, ctx)

    def reversed(delivery: Delivery, order: int, optional: int = 3) -> Any:
        return ("r", order, delivery)

    def only(ctx: Delivery) -> Any:
        return ("o", ctx)

    class Callable_:
        async def __call__(self, order: int, ctx) -> Any:  # type: ignore[no-untyped-def]
            return ("c", order, ctx)

    for handler, expected in (
        (value_only, ("v", 7)),
        (both, ("b", 7, ctx)),
        (reversed, ("r", 7, ctx)),
        (only, ("o", ctx)),
    ):
        signature = signature_of(handler)
        assert call_of(signature, handler)(7, ctx) == expected
        assert not signature.is_async
    assert signature_of(Callable_()).is_async
    assert signature_of(Callable_()).takes_delivery
    assert signature_of(value_only).wanted is int


def test_the_message_of_a_rule_says_where_it_stands() -> None:
    with pytest.raises(MappingError, match=r"routes\.a\.map\.x"):
        Rules(Match(), {"x": {"@pipe": [["{@string.nope}"]]}}, path="routes.a")
    with pytest.raises(MappingError, match=r"routes\.a\.match\.when"):
        Rules(Match(when={"gate": "or"}), None, path="routes.a")
    with pytest.raises(MappingError, match="references of a route begin with value"):
        Rules(Match(when={"match": [{"expected": 1, "actual": "{order.x}"}]}), None)


def test_an_undefined_member_is_left_out_of_what_is_mapped() -> None:
    rules = Rules(Match(), {"a": "{value.a}", "b": "{value.b}"})
    context = {"value": {"a": 1}, "key": None, "headers": {}, "type": None, "topic": "t", "id": "1"}

    assert rules.mapped(context, NOW_MS) == {"a": 1}
    assert Env(NOW_MS, lambda: 0.5).now_ms == NOW_MS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = ", "can't be read"),
        ("", "nothing for a router"),
        ("[route.a]\nfrom = 'x'", "did you mean 'routes' by 'route'?"),
        ("routes = 3", "tables with names"),
        ("[routes]\na = 3", "tables with names"),
        ("[routes.a]\nfrom = 'x'\nretry = {maximum_attempt = 3}", "'maximum_attempts'"),
        ("[routes.a]\nfrom = 3", "routes.a.from: Expected str, got int"),
    ],
)
def test_faults_of_a_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text)

    with pytest.raises(RoutesInvalid) as caught:
        read_tables(file)

    assert said in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RoutesInvalid, match=r"nowhere\.toml: there is no such file"):
        read_tables(tmp_path / "nowhere.toml")


def test_the_example_of_the_service_can_be_read() -> None:
    tables = read_tables(Path(__file__).parents[3] / "services" / "router" / "hotmesh.toml")

    assert set(tables.routes) == {"approvals", "answers", "archive"}
    assert set(tables.emits) == {"shipped"}

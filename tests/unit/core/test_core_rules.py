"""Maps and rules: what they see, what merging does, and what happens when one fails."""

from __future__ import annotations

from typing import Any

import pytest
from core_run import Run, graph

from hotmesh.compiler import compile_model, decode_plan, difference, encode_plan
from hotmesh.errors import MappingError

FAILS = "{'@pipe': [['{t.output.data.none}', 1, 2], ['{@string.repeat}']]}"


def test_maps_inside_job_maps_are_merged() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger, job: {maps: {a: {x: 1, deep: {p: 1}}, list: [1, 2]}}}
            h: {type: hook, job: {maps: {a: {y: 2, deep: {q: 2}}}}}
            """,
            "t: [{to: h}]",
        )
    )

    assert run.data["a"] == {"x": 1, "y": 2, "deep": {"p": 1, "q": 2}}


def test_a_value_that_is_mapped_whole_replaces_what_was_there() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger, job: {maps: {a: {x: 1}}}}
            w: {type: worker, topic: w, job: {maps: {a: '{$self.output.data.a}'}}}
            """,
            "t: [{to: w}]",
        )
    )

    run.reply(run.work("w"), {"a": {"y": 2}})

    assert run.data == {"a": {"y": 2}}


def test_a_map_over_a_value_that_is_no_map_replaces_it() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger, job: {maps: {a: 5}}}
            h: {type: hook, job: {maps: {a: {x: 1}}}}
            """,
            "t: [{to: h}]",
        )
    )

    assert run.data == {"a": {"x": 1}}


def test_what_resolves_to_nothing_is_not_written_and_null_is() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger, job: {maps: {a: 1, b: 1}}}
            h: {type: hook, job: {maps: {a: '{t.output.data.none}', b: '{t.output.data.null}'}}}
            """,
            "t: [{to: h}]",
        ),
        {"null": None},
    )

    assert run.data == {"a": 1, "b": None}


def test_data_of_one_job_is_not_shared_with_a_later_decision() -> None:
    model = graph("t: {type: trigger, job: {maps: {a: {x: 1}}}}")
    first = Run(model)

    second = Run(first.program)

    first.job.data["a"]["x"] = 99
    assert second.data == {"a": {"x": 1}}
    assert Run(first.program).data == {"a": {"x": 1}}


def test_parallel_branches_keep_what_the_other_has_written() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger, job: {maps: {all: {t: 1}}}}
            a: {type: worker, topic: a, job: {maps: {all: {a: 1}}}}
            b: {type: worker, topic: b, job: {maps: {all: {b: 1}}}}
            """,
            "t: [{to: a}, {to: b}]",
        )
    )

    run.reply(run.work("b"))
    run.reply(run.work("a"))

    assert run.data == {"all": {"t": 1, "a": 1, "b": 1}}


def test_an_ancestors_output_is_read_many_steps_later() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger}
            a: {type: worker, topic: a}
            b: {type: worker, topic: b}
            c:
              type: hook
              job:
                maps:
                  t: '{t.output.data.x}'
                  a: '{a.output.data.x}'
                  rows: '{a.output.data.rows.1.id}'
            """,
            """
            t: [{to: a}]
            a: [{to: b}]
            b: [{to: c}]
            """,
        ),
        {"x": 1},
    )

    run.reply(run.work("a"), {"x": 2, "rows": [{"id": 5}, {"id": 6}], "unread": "y" * 99})
    run.reply(run.work("b"))

    assert run.data == {"t": 1, "a": 2, "rows": 6}
    assert b"y" * 99 not in b"".join(run.stored.fields.values())


def test_a_list_is_kept_for_who_reads_an_item_of_it_later() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger}
            a: {type: worker, topic: a}
            b: {type: worker, topic: b}
            c: {type: hook, job: {maps: {first: '{a.output.data.0}'}}}
            """,
            """
            t: [{to: a}]
            a: [{to: b}]
            b: [{to: c}]
            """,
        )
    )

    run.reply(run.work("a"), ["x", "y"])
    run.reply(run.work("b"))

    assert run.data == {"first": "x"}


METADATA = graph(
    """
    t: {type: trigger}
    a: {type: worker, topic: a}
    h:
      type: hook
      job:
        maps: {jc: '{$job.metadata.jc}', ju: '{$job.metadata.ju}', au: '{a.output.metadata.au}'}
    """,
    """
    t: [{to: a}]
    a: [{to: h}]
    """,
)


@pytest.mark.parametrize(
    "partial",
    [
        False,
        pytest.param(
            True,
        ),
    ],
)
def test_metadata_tell_when_the_job_changed_last(partial: bool) -> None:
    model = METADATA.replace("a: [{to: h}]", "a: [{to: b}]\n        b: [{to: h}]").replace(
        "h:\n", "b: {type: worker, topic: b}\n        h:\n", 1
    )
    run = Run(model, partial=partial)
    run.now_ms += 60_000
    run.reply(run.work("a"))

    run.reply(run.work("b"))

    assert run.data["ju"] > run.data["jc"]
    assert run.data["au"] == run.data["ju"]


# -- rules that fail


def test_a_rule_of_the_trigger_that_fails_is_told_to_the_caller_and_nothing_begins() -> None:
    with pytest.raises(MappingError, match=r"t\.job\.maps"):
        Run(graph(f"t: {{type: trigger, job: {{maps: {{x: {FAILS}}}}}}}"))


@pytest.mark.parametrize("place", ["input", "topic", "output", "sleep", "job"])
def test_a_rule_that_fails_in_leg_1_fails_the_activity(place: str) -> None:
    activity = {
        "input": f"{{type: worker, topic: w, input: {{maps: {{x: {FAILS}}}}}}}",
        "topic": f"{{type: worker, topic: {FAILS}}}",
        "output": f"{{type: hook, output: {{maps: {{x: {FAILS}}}}}}}",
        "sleep": f"{{type: hook, sleep: {FAILS}}}",
        "job": f"{{type: hook, job: {{maps: {{x: {FAILS}}}}}}}",
    }[place]
    run = Run(
        graph(
            f"""
            t: {{type: trigger}}
            bad: {activity}
            care: {{type: hook, job: {{maps: {{why: '{{bad.output.data.code}}'}}}}}}
            good: {{type: worker, topic: good}}
            """,
            """
            t: [{to: bad}, {to: good}]
            bad: [{to: care, conditions: {code: 500}}]
            """,
        )
    )

    assert (run.status, run.data, run.error) == (1, {"why": 500}, None)
    run.reply(run.work("good"))
    assert (run.status, run.ended()) == (0, 1)


def test_a_job_map_that_fails_in_leg_2_is_an_error_that_can_be_routed() -> None:
    run = Run(
        graph(
            f"""
            t: {{type: trigger}}
            w: {{type: worker, topic: w, job: {{maps: {{x: {FAILS}}}}}}}
            care: {{type: hook, job: {{maps: {{care: true}}}}}}
            """,
            """
            t: [{to: w}]
            w: [{to: care, conditions: {code: 500}}]
            """,
        )
    )

    run.reply(run.work("w"))

    assert (run.status, run.data, run.error) == (0, {"care": True}, None)
    assert (run.leg("w,0,0").error or {})["code"] == 500


def test_a_condition_that_fails_always_ends_the_activity_with_an_error() -> None:
    run = Run(
        graph(
            """
            t: {type: trigger}
            w: {type: worker, topic: w}
            on: {type: hook}
            """,
            f"""
            t: [{{to: w}}]
            w:
              - to: on
                conditions: {{code: [200, 500], match: [{{expected: 1, actual: {FAILS}}}]}}
            """,
        )
    )

    run.reply(run.work("w"))

    assert (run.status, run.ended()) == (0, 1)
    assert "and then" in (run.error or {})["message"]


@pytest.mark.parametrize("seconds", [float("inf"), 1e300, 1e12])
def test_a_sleep_without_end_is_an_error_of_its_hook(seconds: float) -> None:
    run = Run(
        graph("t: {type: trigger}\nh: {type: hook, sleep: '{t.output.data.s}'}", "t: [{to: h}]"),
        {"s": seconds},
    )

    assert (run.status, run.stored.timers) == (0, {})
    assert run.error is not None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), None, False, []])
def test_a_sleep_that_is_no_positive_number_passes_through(seconds: Any) -> None:
    run = Run(
        graph("t: {type: trigger}\nh: {type: hook, sleep: '{t.output.data.s}'}", "t: [{to: h}]"),
        {"s": seconds},
    )

    assert (run.status, run.error, run.stored.timers) == (0, None, {})


@pytest.mark.parametrize(("sleep", "ms"), [(2, 2_000), (0.5, 500), ("'1 month'", 30 * 86_400_000)])
def test_a_sleeping_hook_wakes_once_when_its_time_has_come(sleep: Any, ms: int) -> None:
    run = Run(
        graph(
            f"""
            t: {{type: trigger}}
            h:
              type: hook
              sleep: {sleep}
              job: {{maps: {{at: '{{$self.hook.data.timestamp}}'}}}}
            """,
            "t: [{to: h}]",
        )
    )
    assert list(run.stored.timers.values()) == [run.now_ms + ms]
    assert (run.status, run.data) == (1, {})
    [wake] = run.timers()

    run.fire()

    assert (run.status, run.data) == (0, {"at": run.now_ms})
    assert run.take(wake).effects == []


# -- plans


def test_a_plan_is_equal_to_its_stored_form() -> None:
    model = graph(
        "t: {type: trigger}\nh: {type: hook}",
        "t: [{to: h, conditions: {code: [200, 201], match: [{expected: 1, actual: 1}]}}]",
    )
    plan = compile_model(model).plan

    stored = decode_plan(encode_plan(plan))

    assert not difference(stored, plan)
    assert stored == plan

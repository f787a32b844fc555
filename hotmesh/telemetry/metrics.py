"""Every instrument: name, kind, unit, attributes, meaning. The reference page is made of this.

OpenTelemetry's API, which costs next to nothing while no SDK is configured. Attributes are bounded:
topics, streams and outcomes, never a job id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

Kind: TypeAlias = Literal["counter", "histogram", "gauge"]
Observe: TypeAlias = Callable[[str], Iterable[Observation]]

NOTHING: Mapping[str, str] = MappingProxyType({})

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG_SECONDS = (*SECONDS, 300, 1_800, 3_600, 21_600, 86_400, 604_800, 2_592_000)
SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)


class Instrument(Struct, frozen=True):
    """One instrument.

    Attributes:
        field: Of `Metrics`; "" for a gauge, which is read and never set.
        attributes: What its series are told apart by.
        buckets: Of a histogram.
    """

    field: str
    name: str
    kind: Kind
    unit: str
    attributes: tuple[str, ...]
    about: str
    buckets: tuple[float, ...] = ()


def _counter(field: str, name: str, unit: str, about: str, *attributes: str) -> Instrument:
    return Instrument(field, name, "counter", unit, attributes, about)


def _histogram(
    field: str, name: str, unit: str, about: str, buckets: tuple[float, ...], *attributes: str
) -> Instrument:
    return Instrument(field, name, "histogram", unit, attributes, about, buckets)


def _gauge(name: str, unit: str, about: str, *attributes: str) -> Instrument:
    return Instrument("", name, "gauge", unit, attributes, about)


DEPTH, LAG, PENDING = "hotmesh.router.depth", "hotmesh.router.lag", "hotmesh.router.pending"
OLDEST, TIMERS, LATE = "hotmesh.router.oldest_age", "hotmesh.timer.pending", "hotmesh.timer.late"
DEAD, RTT, MEMORY = "hotmesh.dead_letters", "hotmesh.redis.rtt", "hotmesh.redis.memory"
MEMORY_RATIO = "hotmesh.redis.memory.ratio"
USED, CAPACITY = "hotmesh.router.slots.used", "hotmesh.router.slots.capacity"

INSTRUMENTS = (
    _counter("job_started", "hotmesh.job.started", "{job}", "Jobs started here.", "workflow"),
    _counter(
        "job_ended",
        "hotmesh.job.ended",
        "{job}",
        "Jobs whose last transition was applied here; `outcome` is `completed`, `failed` or "
        "`interrupted`.",
        "workflow",
        "outcome",
    ),
    _counter(
        "job_refused",
        "hotmesh.job.refused",
        "{job}",
        "Starts that were refused here because workers are too far behind.",
        "workflow",
    ),
    _histogram(
        "job_duration",
        "hotmesh.job.duration",
        "s",
        "From the start of a job to its end.",
        LONG_SECONDS,
        "workflow",
        "outcome",
    ),
    _histogram(
        "activity_duration",
        "hotmesh.activity.duration",
        "s",
        "From the first leg of an activity to an answer of its.",
        LONG_SECONDS,
        "type",
    ),
    _counter(
        "timeouts",
        "hotmesh.activity.timeouts",
        "{activity}",
        "Activities that failed with code 504: no answer in time.",
        "type",
    ),
    _histogram(
        "queue_wait",
        "hotmesh.activity.queue_wait",
        "s",
        "From the call of a function to its start: the time in the worker stream.",
        LONG_SECONDS,
        "topic",
    ),
    _histogram(
        "process_duration",
        "messaging.process.duration",
        "s",
        "How long a function ran, and its answer took to be written.",
        SECONDS,
        "topic",
        "outcome",
    ),
    _counter(
        "retried",
        "hotmesh.worker.retried",
        "{attempt}",
        "Failures that a policy tries again.",
        "topic",
    ),
    _counter(
        "answers_dropped",
        "hotmesh.worker.answers_dropped",
        "{answer}",
        "Answers that came too late: another worker had the call by then.",
        "topic",
    ),
    _counter(
        "consumed",
        "messaging.client.consumed.messages",
        "{message}",
        "Entries read or claimed, by router: `engine`, `outbox` or `worker:TOPIC`.",
        "router",
    ),
    _counter(
        "claimed",
        "hotmesh.router.claimed",
        "{entry}",
        "Entries taken over from dead or silent owners.",
        "router",
    ),
    _counter(
        "read_failed",
        "hotmesh.router.read_failed",
        "{read}",
        "Reads that failed, and were tried again after a pause.",
        "router",
    ),
    _counter(
        "duplicates_dropped",
        "hotmesh.router.duplicates_dropped",
        "{entry}",
        "Entries that changed nothing: late or repeated.",
    ),
    _counter(
        "dead_lettered",
        "hotmesh.router.dead_lettered",
        "{entry}",
        "Entries put into the dead letters, by where they came from: `engine` or a topic.",
        "stream",
    ),
    _histogram(
        "transition_duration",
        "hotmesh.transition.duration",
        "s",
        "How long an engine took for a batch: load, decide, apply.",
        SECONDS,
    ),
    _histogram(
        "batch_size",
        "hotmesh.transition.batch_size",
        "{entry}",
        "Entries that an engine took at once.",
        SIZES,
    ),
    _counter(
        "stale",
        "hotmesh.transition.stale",
        "{transition}",
        "Transitions that were decided again: another entry of the job came first.",
    ),
    _counter(
        "timers_fired", "hotmesh.timer.fired", "{timer}", "Timers moved into the engine stream."
    ),
    _gauge(DEPTH, "{entry}", "Entries in a stream: `engine`, `outbox` or a topic.", "stream"),
    _gauge(LAG, "{entry}", "Entries that nobody has read yet.", "stream"),
    _gauge(PENDING, "{entry}", "Entries in somebody's hands.", "stream"),
    _gauge(OLDEST, "s", "Age of the oldest entry.", "stream"),
    _gauge(TIMERS, "{timer}", "Timers that wait."),
    _gauge(LATE, "s", "How long the first timer has been due; 0 when none is."),
    _gauge(DEAD, "{entry}", "Dead letters that are kept."),
    _gauge(RTT, "s", "How long the server took to answer when it was asked for these."),
    _gauge(MEMORY, "By", "Memory that the server uses."),
    _gauge(MEMORY_RATIO, "1", "The same, of what it may use; none without a limit."),
    _gauge(USED, "{slot}", "Entries that a router of this process holds.", "router"),
    _gauge(CAPACITY, "{slot}", "Entries that it may hold.", "router"),
)
"""Every instrument."""


class Counter:
    """Counts in a dict, which is read when somebody collects: the SDK's own counter costs ten times
    as much each time, and each job counts several things.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[tuple[tuple[str, str], ...], int] = {}

    def add(self, amount: int, attributes: Mapping[str, str] = NOTHING) -> None:
        """Count; attributes always come in one order."""
        key = tuple(attributes.items())
        self.counts[key] = self.counts.get(key, 0) + amount

    def observe(self, options: CallbackOptions) -> list[Observation]:
        """Its series now."""
        return [Observation(n, dict(key)) for key, n in list(self.counts.items())]


class Metrics:
    """Instruments of one process, as fields."""

    job_started: Counter
    job_ended: Counter
    job_refused: Counter
    job_duration: metrics.Histogram
    activity_duration: metrics.Histogram
    timeouts: Counter
    queue_wait: metrics.Histogram
    process_duration: metrics.Histogram
    retried: Counter
    answers_dropped: Counter
    consumed: Counter
    claimed: Counter
    read_failed: Counter
    duplicates_dropped: Counter
    dead_lettered: Counter
    transition_duration: metrics.Histogram
    batch_size: metrics.Histogram
    stale: Counter
    timers_fired: Counter

    def __init__(self, provider: MeterProvider, observe: Observe) -> None:
        """Make them all.

        Args:
            observe: The series of a gauge, by its name.
        """
        meter = provider.get_meter("hotmesh")
        for known in INSTRUMENTS:
            if known.kind == "counter":
                made: Any = Counter()
                meter.create_observable_counter(known.name, [made.observe], known.unit, known.about)
            elif known.kind == "histogram":
                made = meter.create_histogram(
                    known.name,
                    known.unit,
                    known.about,
                    explicit_bucket_boundaries_advisory=known.buckets,
                )
            else:
                callback = _callback(known.name, observe)
                meter.create_observable_gauge(known.name, [callback], known.unit, known.about)
                continue
            setattr(self, known.field, made)


def _callback(name: str, observe: Observe) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda options: observe(name)


@lru_cache(maxsize=1)
def instruments() -> Metrics:
    """The instruments of this process, made once. If no provider has been set by then, they begin
    to measure when one is.
    """
    from hotmesh.telemetry.gauges import observe

    return Metrics(metrics.get_meter_provider(), observe)

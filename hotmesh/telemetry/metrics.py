"""Every instrument: name, unit, meaning.

OpenTelemetry's API, which costs next to nothing while no SDK is configured.
"""

from __future__ import annotations

from opentelemetry import metrics


class Metrics:
    """Instruments of one process. Attributes are bounded: topics and outcomes, never a job id."""

    def __init__(self) -> None:
        meter = metrics.get_meter("hotmesh")
        self.job_started = meter.create_counter(
            "hotmesh.job.started", "{job}", "Jobs started here."
        )
        self.job_ended = meter.create_counter(
            "hotmesh.job.ended", "{job}", "Jobs whose last transition was applied here, by outcome."
        )
        self.duplicates_dropped = meter.create_counter(
            "hotmesh.router.duplicates_dropped",
            "{entry}",
            "Entries that changed nothing: late or repeated.",
        )
        self.stale = meter.create_counter(
            "hotmesh.transition.stale", "{transition}", "Transitions that were decided again."
        )
        self.claimed = meter.create_counter(
            "hotmesh.router.claimed", "{entry}", "Entries taken over from dead or silent owners."
        )
        self.dead_lettered = meter.create_counter(
            "hotmesh.router.dead_lettered",
            "{entry}",
            "Entries put into the dead letters, by stream.",
        )
        self.retried = meter.create_counter(
            "hotmesh.worker.retried", "{attempt}", "Failures that are tried again, by topic."
        )
        self.process_duration = meter.create_histogram(
            "messaging.process.duration", "s", "Time that a handler took, by topic."
        )
        self.timers_fired = meter.create_counter(
            "hotmesh.timer.fired", "{timer}", "Timers moved into the engine stream."
        )

"""One module a case, in the order of the table. Each has `run`, and a docstring that says what it
stands for.
"""

NAMES = (
    "one_activity",
    "latency",
    "sequence",
    "fan_out",
    "joins",
    "cycles",
    "awaits",
    "signals",
    "timers",
    "crash",
    "backlog",
    "waiting",
    "telemetry",
    "fleet",
    "partitions",
    "memory",
    "mapping",
    "transport",
    "streams",
    "streams_fleet",
)

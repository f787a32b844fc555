"""The figures of the README, each measured beside the bare commands: `python -m benchmarks`."""

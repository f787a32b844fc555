"""`hotmesh` and `python -m hotmesh`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; the exit code."""
    if sys.argv[1:] == ["--version"]:
        from hotmesh.release import RELEASE

        sys.stdout.write(f"{RELEASE}\n")
        return 0
    try:
        from hotmesh.cli.main import main as run
    except KeyboardInterrupt:  # somebody is quicker than our imports
        return 130
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

"""The worker as a program: settings → functions → serve. The same as `hotmesh worker`."""

from __future__ import annotations

import sys

from hotmesh.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["worker", "--json", *sys.argv[1:]]))

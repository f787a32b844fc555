"""The quorum service as a program: settings → quorum → serve. The same as `hotmesh quorum`."""

from __future__ import annotations

import sys

from hotmesh.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["quorum", "--json", *sys.argv[1:]]))

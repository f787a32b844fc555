"""The engine as a program: settings → engine → serve. The same as `hotmesh engine`."""

from __future__ import annotations

import sys

from hotmesh.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["engine", "--json", *sys.argv[1:]]))

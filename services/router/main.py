"""The router as a program: settings → routes and routers → serve. The same as `hotmesh router`."""

from __future__ import annotations

import sys

from hotmesh.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["router", "--json", *sys.argv[1:]]))

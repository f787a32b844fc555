"""Start one of the services as a process, order something over HTTP, and tell it to stop."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
WITHIN_S = 20.0


def command(host: str, port: int) -> list[str]:
    """How the service of a framework is started."""
    if host == "fastapi":
        server = ["uvicorn", "fastapi_app:app", "--port", str(port), "--log-level", "warning"]
        return [sys.executable, "-m", *server]
    return [sys.executable, "aiohttp_app.py", str(port)]


def call(url: str, body: object = None) -> dict[str, object]:
    """One request; its JSON."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        found: dict[str, object] = json.load(response)
        return found


def until(url: str, name: str) -> object:
    """Ask until a field says something."""
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        try:
            if found := call(url)[name]:
                return found
        except (urllib.error.URLError, ConnectionError):
            pass  # not up yet
        time.sleep(0.05)
    raise SystemExit(f"{url} did not answer")


def main(host: str) -> None:
    """Order, look, stop."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    service = subprocess.Popen(command(host, port), cwd=HERE)
    try:
        print("ready:", until(f"{base}/readyz", "router"), flush=True)
        call(f"{base}/orders", {"id": host, "price": 12.5})
        print("billed:", until(f"{base}/orders/{host}", "billed"), flush=True)
    finally:
        service.terminate()  # SIGTERM is the framework's; the router stops inside its shutdown
        print("stopped:", service.wait(WITHIN_S) in (0, -15), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

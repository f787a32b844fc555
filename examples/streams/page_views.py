"""Page views by minute, and a page that shows them while they come in."""

from __future__ import annotations

import asyncio
import json
import urllib.request

import hotmesh
from hotmesh.streams import Stream


class View(hotmesh.Record):
    page: str
    person: str


app = hotmesh.App("page-views", partitions=2)
views = app.topic("views", value_type=View)
per_minute = app.table("per-minute", default=int).tumbling("1m", expires="1h")
ever = app.table("ever", default=int)

HTML = """<!doctype html><title>page views</title><h1>page views</h1><pre id="v"></pre><script>
setInterval(async () => {
  v.textContent = JSON.stringify(await (await fetch("/views")).json(), null, 2)
}, 1000)</script>"""


@app.agent(views)
async def count(stream: Stream[View]) -> None:
    async for view in stream.group_by(View.page):
        per_minute[view.page] += 1
        ever[view.page] += 1


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request, of a browser on this host."""
    path = (await reader.readline()).split(b" ")[1]
    kind, body = "text/html", HTML
    if path == b"/views":
        found = {"minute": dict(await per_minute.items()), "ever": dict(await ever.items())}
        kind, body = "application/json", json.dumps(found, sort_keys=True)
    data = body.encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
    writer.write(head.encode() + b"Connection: close\r\n\r\n" + data)
    await writer.drain()
    writer.close()


@app.command()
async def serve(port: int = 8000) -> None:
    """Show the counts on http://127.0.0.1:8000, until Ctrl-C. Reads only: no worker is needed."""
    server = await asyncio.start_server(answer, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


@app.command()
async def demo() -> None:
    """Five views, and what the page would show."""
    async with app.running():
        pages = ["/", "/docs", "/", "/", "/docs"]
        await views.send_many([View(page, "ada") for page in pages])
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()[:2]
        async with server:
            while sum(await ever.values()) < len(pages):
                await asyncio.sleep(0.02)
            url = f"http://{host}:{port}/views"
            shown = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
            print(json.loads(shown)["ever"])


if __name__ == "__main__":
    app.main()

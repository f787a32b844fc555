"""In aiohttp: started before the first request, stopped after the last."""

from __future__ import annotations

import sys

from aiohttp import web
from orders import Order, billed, router

routes = web.RouteTableDef()


@routes.post("/orders")
async def order(request: web.Request) -> web.Response:
    """Answers once the order is in the topic; it is billed meanwhile."""
    body = await request.json()
    entry = await router.publish("orders", Order(body["id"], body["price"]), key=body["id"])
    return web.json_response({"entry": entry}, status=202)


@routes.get("/orders/{id}")
async def look(request: web.Request) -> web.Response:
    """What was billed."""
    return web.json_response({"billed": billed.get(request.match_info["id"])})


@routes.get("/readyz")
async def ready(request: web.Request) -> web.Response:
    """For a load balancer."""
    status = 200 if router.is_healthy else 503
    return web.json_response({"router": router.is_healthy}, status=status)


def make() -> web.Application:
    """The app."""
    app = web.Application()
    app.cleanup_ctx.append(router.cleanup_ctx)
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    web.run_app(make(), host="127.0.0.1", port=int(sys.argv[1]), print=None)

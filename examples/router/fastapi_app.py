"""In FastAPI (or Starlette): the router lives as long as the app."""

from __future__ import annotations

from fastapi import FastAPI, Response
from orders import Order, billed, router
from pydantic import BaseModel

app = FastAPI(lifespan=router.lifespan)


class OrderIn(BaseModel):
    """What a client posts."""

    id: str
    price: float


@app.post("/orders", status_code=202)
async def order(body: OrderIn) -> dict[str, str]:
    """Answers once the order is in the topic; it is billed meanwhile."""
    return {"entry": await router.publish("orders", Order(body.id, body.price), key=body.id)}


@app.get("/orders/{id}")
async def look(id: str) -> dict[str, float | None]:
    """What was billed."""
    return {"billed": billed.get(id)}


@app.get("/readyz")
async def ready(response: Response) -> dict[str, bool]:
    """For a load balancer."""
    response.status_code = 200 if router.is_healthy else 503
    return {"router": router.is_healthy}

"""The function that the model calls. Run it with `hotmesh worker -A workers`."""

from typing import TypedDict

from hotmesh import Worker


class Guest(TypedDict):
    """What the function takes; an input that does not fit is refused with code 422."""

    name: str


async def greet(guest: Guest) -> dict[str, str]:
    """Greet somebody."""
    return {"text": f"Hello, {guest['name']}!"}


workers = [Worker("greet", greet)]

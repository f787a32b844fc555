"""An agent: a model that chooses tools until it has an answer. Each of its calls is an activity, so
a crash in the middle costs no call twice, and a person can look in and steer.

The model here is a few rules, so that the example runs anywhere; put yours into `think`.

    python examples/durable/agent.py
"""

import asyncio
from dataclasses import dataclass, field

from hotmesh import durable
from hotmesh.durable import RetryPolicy, activity, workflow

STEPS_MAX = 10


@dataclass
class Decision:
    tool: str
    argument: str


@dataclass
class Talk:
    question: str
    notes: list[str] = field(default_factory=list)


@activity.defn(retry=RetryPolicy(maximum_attempts=3), start_to_close_timeout="1 minute")
async def think(talk: Talk) -> Decision:
    if not any(note.startswith("weather") for note in talk.notes):
        return Decision("weather", "Lisbon")
    if not any("=" in note for note in talk.notes):
        return Decision("calculate", "20 + 1")
    return Decision("answer", f"after {len(talk.notes)} notes: take a hat")


@activity.defn
async def weather(city: str) -> str:
    return f"weather in {city}: sunny, no umbrella"


@activity.defn
async def calculate(expression: str) -> str:
    left, _, right = expression.partition("+")
    return f"{expression} = {int(left) + int(right)}"


TOOLS = {"weather": weather, "calculate": calculate}


@workflow.defn
class Agent:
    def __init__(self) -> None:
        self.talk = Talk("")

    @workflow.run
    async def main(self, question: str) -> str:
        self.talk.question = question
        for _ in range(STEPS_MAX):
            decision = await think(self.talk)
            if decision.tool == "answer":
                return decision.argument
            self.talk.notes.append(await TOOLS[decision.tool](decision.argument))
        return "I don't know"

    @workflow.signal
    def hint(self, text: str) -> None:
        self.talk.notes.append(f"hint: {text}")

    @workflow.query
    def notes(self) -> list[str]:
        return self.talk.notes


async def main() -> None:
    worker = await durable.Worker.create(
        namespace="agent", workflows=[Agent], activities=[think, *TOOLS.values()]
    )
    async with worker, durable.Client(namespace="agent") as client:
        handle = await client.workflow.start(Agent, "What do I wear in Lisbon?")
        print(await handle.result())
        print("\n".join(await handle.query("notes")))


if __name__ == "__main__":
    asyncio.run(main())

"""The workflow: ordinary code, whose calls of activities survive crashes and are tried again."""

import activities

from hotmesh.durable import RetryPolicy, workflow

acts = workflow.proxy_activities(activities, retry=RetryPolicy(initial_interval="100ms"))


async def example(name: str, lang: str) -> str:
    if lang == "es":
        return await acts.saludar(name)
    return await acts.greet(name)

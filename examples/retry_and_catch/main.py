"""Three cards: one works at the third attempt, one is refused, one meets a gateway that is down."""

import asyncio
from pathlib import Path

from hotmesh import HotMesh, JobError, StreamData, Worker

MODEL = Path(__file__).with_name("model.yaml")


class GatewayBusy(Exception):
    """Worth another attempt."""

    code = 503


class CardRefused(Exception):
    """Not worth another attempt."""

    code = 402


async def charge(msg: StreamData) -> dict[str, str]:
    """Charge a card."""
    card, attempt = msg.data["card"], msg.metadata.try_count + 1
    print(f"  attempt {attempt}")
    if card == "refused":
        raise CardRefused("the bank refuses this card")
    if card == "unlucky" or attempt < 3:
        raise GatewayBusy("the gateway is busy")
    return {"payment": f"{msg.data['amount']} paid"}


async def ask_for_card(msg: StreamData) -> dict[str, str]:
    """Write to the customer."""
    return {"mail": f"{msg.data['reason']}, please give another"}


async def main() -> None:
    """Check out three times."""
    workers = [Worker("bank.charge", charge), Worker("mail.ask_for_card", ask_for_card)]
    async with HotMesh.session("checkout", workers=workers) as mesh:
        await mesh.deploy(MODEL)
        await mesh.activate("1")
        for card in ("good", "refused", "unlucky"):
            print(f"{card} card")
            cart = {"card": card, "amount": 12}
            try:
                result = await mesh.pubsub("cart.checkout", cart, timeout=30)
                print(f"  done: {result.data}")
            except JobError as error:
                print(f"  failed with {error.code}: {error.message}")


if __name__ == "__main__":
    asyncio.run(main())

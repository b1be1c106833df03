"""The last scene: a support desk plans, specialists work side by side, a person agrees, and the run is looked at."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from agents.__main__ import main as agents
from agents.demo.people import ticket_of
from agents.demo.scenes import Surprise, say, title
from agents.demo.shop import REVIEWER, Shop
from agents.demo.watched import typed, working

MESSAGE = (
    'Customer CUS-1001 writes: "Please change my shipping address to 1 Ferry Building, San Francisco, CA 94111, US, '
    'apply the discount code WELCOME10, and where is my parcel {tracking}?"'
)
RUN = "desk-1"


def answered(shop: Shop) -> None:
    title(11, "A support desk: three specialists at once, one of them needs a person's consent")
    say(
        "Its planner has no tools. Each specialist has its own token and policy; every discount is for people to allow."
    )
    message = MESSAGE.format(tracking=_one(shop, "fulfillment", "select tracking_number from shipments"))
    with working(shop, "desk", "--task", message, "--model", "scripted:desk", "--run", RUN) as desk:
        desk.wait_for("calls billing__apply_discount")
        ticket = ticket_of(shop)
        say("Kim looks at the discount, and allows it:")
        typed(shop, "approvals", "show", ticket)
        typed(shop, "approvals", "approve", ticket, "--words", "A new customer.", token=shop.reviewers[REVIEWER])
        desk.wait_for("desk: end_turn")
    if _one(shop, "billing", "select due from accounts where customer_id = 'CUS-1001'") != 4410:
        raise Surprise("billing's books do not show the discount")
    say("Every entry of the run is in the agents' journal:")
    _look(shop, "show", RUN)
    say("What the model said and the tools returned, driven through the loop once more:")
    _look(shop, "replay", RUN)


def _look(shop: Shop, *arguments: str) -> None:
    say(f"$ python -m agents {' '.join(arguments)}")
    if agents(list(arguments), {**os.environ, **shop.environment}):
        raise Surprise("the run cannot be looked at")


def _one(shop: Shop, server: str, query: str) -> object:
    """The first value in a server's own database."""
    with closing(sqlite3.connect(f"file:{shop.folder / 'servers' / server}.db?mode=ro", uri=True)) as books:
        return books.execute(query).fetchone()[0]

"""Two scenes about what the gateway keeps for people, and does without them: consent, and an agent that is gone."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from typing import Any

from agents.demo.scenes import EXAMPLES, PATIENCE, Surprise, say, stock, title
from agents.demo.shop import REVIEWER, Shop
from agents.demo.watched import typed, working

ASKED, GRANTED = 12_000, 2_500
"""Cents: what the customer wants, and what the reviewer finds right."""
LEASE = 3
"""Seconds. Short, so that nobody has to wait for long; a minute is more like it."""
TASK = 'Customer CUS-1001 writes: "My parcel came five days late. I want 120.00 back." Refund what is due.'


def consent(shop: Shop) -> None:
    title(5, "A refund that its agent is not sure of waits for a person")
    say("policies/support.toml asks the agent how sure it is, from 0 to 1: below 0.8 a person decides on the refund.")
    with working(shop, "loop", "--agent", "support", "--task", TASK, "--model", "scripted:refund") as agent:
        agent.wait_for("calls billing__process_refund")
        ticket = ticket_of(shop)
        say("The call is held open. Kim, whose token was made by `toolgate reviewer create kim`, looks at it:")
        typed(shop, "approvals", "list")
        typed(shop, "approvals", "show", ticket)
        words = ["--words", "25.00 is what we give for a late parcel."]
        typed(shop, "approvals", "edit", ticket, f"amount:={GRANTED}", *words, token=shop.reviewers[REVIEWER])
        agent.wait_for("support: end_turn")
    say(f"In billing's own books: {' and '.join(f'{each / 100:.2f}' for each in _refunds(shop))} refunded.")
    if _refunds(shop)[-1] != GRANTED:
        raise Surprise("what went through is not what the reviewer approved")


def killed(shop: Shop) -> None:
    title(6, "An agent is killed in the middle of an order; what it reserved comes back by itself")
    order = json.loads((EXAMPLES / "order.json").read_text()) | {"order_id": "ORD-7003"}
    file = shop.folder / "order-7003.json"
    file.write_text(json.dumps(order))
    before = stock(shop)
    say(f"Lamps in stock before: {before}.")
    command = ["order", "--file", str(file), "--model", "scripted:hanging-order", "--lease", str(LEASE)]
    with working(shop, *command) as agent:
        agent.wait_for("pricing: ")
        say(f"Lamps in stock while the order is under way: {stock(shop)}.")
        agent.child.kill()
    say(f"The process with all five agents is killed (kill -9). Its runs have a lease of {LEASE} seconds.")
    killed_at = time.monotonic()
    while (after := stock(shop)) != before:
        if time.monotonic() > killed_at + PATIENCE:
            raise Surprise(f"the stock was {before}, and is still {after} {PATIENCE:g} seconds later")
        time.sleep(0.25)
    say(f"Lamps in stock {time.monotonic() - killed_at:.1f} seconds later: {after}. Nobody had to do anything.")
    typed(shop, "runs", "list", "--state", "rolled_back")


def ticket_of(shop: Shop) -> str:
    """The id of the one ticket that waits."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        waiting: list[dict[str, Any]] = json.loads(typed(shop, "approvals", "list", "--json", hidden=True))
        if waiting:
            return str(waiting[0]["id"])
    raise Surprise("no ticket was opened for the refund")


def _refunds(shop: Shop) -> list[int]:
    """The refunds in billing's database, in cents, oldest first."""
    with closing(sqlite3.connect(f"file:{shop.folder / 'servers' / 'billing.db'}?mode=ro", uri=True)) as books:
        return [
            amount for (amount,) in books.execute("select amount from entries where kind = 'refund' order by rowid")
        ]

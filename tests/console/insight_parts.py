"""A run of the office's agents with everything in it that pages about the log have to show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from console_parts import REFUND, Office, ask

ATTACK = '"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}'
RUN = f"../{ATTACK}/?&#%2e%00 é"
"""An agent may call its run so: it is printable."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What `happen` made: the ticket that was used."""

    ticket: str


def happen(office: Office) -> Happened:
    """A call that works, two that are refused, one that people let through and that is used."""
    clerk: Mapping[str, Any] = {"run": RUN}
    ask(office, "clerk", "shop__note", {"text": ATTACK}, **clerk)
    ask(office, "clerk", "shop__pay", {"text": "paid", "card_token": REFUND["card_token"]}, **clerk)
    ask(office, "support", f"shop__{ATTACK}", {}, run=RUN)
    reason = f"The customer says so. {ATTACK}"
    said = {"run": RUN, "confidence": 0.5, "reason": reason}
    answer = ask(office, "support", "shop__note", {"text": "order 77"}, **said)
    assert "NOT EXECUTED" in answer
    (ticket,) = [each for each in office.state.approvals.find(run=RUN, agent="support") if each.state == "pending"]
    office.decide(ticket.id, "anna", words=f"Go on. {ATTACK}")
    assert "order 77" in ask(office, "support", "shop__note", {"text": "order 77"}, **said)
    ask(office, "support", "shop__pay", {"text": "x", "amount": 2000}, run=RUN)
    return Happened(ticket.id)

"""The gate: which calls need consent, what is told while they wait, and what an approval is worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from approvals_parts import APPROVAL, Clock, Desk, Visible, call, presenting, tool

from gateway.approvals import Ticket
from gateway.call import Call, Result
from gateway.controls.gate import Gate
from gateway.errors import (
    ArgumentsChanged,
    PolicyChanged,
    Refused,
    Rejected,
    SchemaChanged,
    TicketExpired,
    TicketUnknown,
    TicketVoid,
)
from gateway.terms import Gate as Asked
from gateway.terms import Terms

DONE: Result = {"content": [{"type": "text", "text": "paid"}]}


class Gated:
    """The gate over a desk, and what it lets through."""

    def __init__(self, desk: Desk, seen: bool = True) -> None:
        self.desk = desk
        self.sent: list[Call] = []
        self.gate = Gate(desk.approvals, lambda: Visible(seen))  # type: ignore[arg-type, return-value]

    async def __call__(self, made: Call) -> Result:
        return await self.gate(made, self._send)

    async def _send(self, made: Call) -> Result:
        self.sent.append(made)
        return DONE

    async def ticket(self, made: Call) -> Ticket:
        result = await self(made)
        return self.desk.get(result["_meta"]["toolgate/pending"])


@pytest.fixture
async def gated(desk: Desk) -> AsyncIterator[Gated]:
    desk.store.start()
    yield Gated(desk)


async def test_a_call_without_a_gate_or_below_it_passes(gated: Gated) -> None:
    large = Asked("approval", lambda arguments: arguments["amount"] > 100)
    sure = Asked("confidence", lambda arguments: True, threshold=0.9)
    read = call(gate=APPROVAL, action="read")
    for made in (call(gate=None), call(gate=large), call(gate=sure, confidence=0.9), read):
        assert await gated(made) == DONE
    assert len(gated.sent) == 4 and not gated.desk.events()


@pytest.mark.parametrize("unsure", [{"confidence": 0.89}, {}])
async def test_a_call_that_is_not_sure_enough_waits(gated: Gated, unsure: dict[str, Any]) -> None:
    sure = Asked("confidence", lambda arguments: True, threshold=0.9)
    assert (await gated.ticket(call(gate=sure, **unsure))).kind == "confidence"
    assert not gated.sent


async def test_the_pending_answer_says_what_to_do(desk: Desk) -> None:
    desk.store.start()
    advices = {True: "Call toolgate__await_approval(ticket=", False: "make exactly the same call again later"}
    for seen, advice in advices.items():
        result = await Gated(desk, seen)(call())
        text = result["content"][0]["text"]
        assert text.startswith("NOT EXECUTED. Approval ") and advice in text and "isError" not in result
        assert result["_meta"]["toolgate/pending"] in text and ("await_approval" in text) is seen


async def test_an_approved_call_passes_under_its_claim(gated: Gated) -> None:
    for made, claim in ((call(), None), (call(key="k", arguments={"amount": 7}), "k")):
        ticket = await gated.ticket(made)
        gated.desk.decide(ticket.id)
        assert await gated(presenting(ticket, made)) == DONE
        assert gated.sent[-1].key == (claim or f"ticket/{ticket.id}") and gated.sent[-1].ticket == ticket.id


async def test_a_pending_ticket_presented_is_still_pending(gated: Gated) -> None:
    ticket = await gated.ticket(call())
    assert (await gated(presenting(ticket, call())))["_meta"] == {"toolgate/pending": ticket.id}
    assert not gated.sent


async def test_a_rejection_is_told_in_the_reviewers_words(gated: Gated) -> None:
    ticket = await gated.ticket(call(key="k"))
    gated.desk.decide(ticket.id, verdict="reject", words="refund by bank instead")
    for made in (presenting(ticket, call()), call(key="k")):
        with pytest.raises(Rejected, match="refund by bank instead"):
            await gated(made)
    assert not gated.sent


ABUSES: dict[str, tuple[dict[str, Any], type[Refused]]] = {
    "another agent": ({"agent": "bob"}, TicketUnknown),
    "another policy": ({"grant": "g2"}, PolicyChanged),
    "another schema": ({"definition": tool("Pays double.")}, SchemaChanged),
    "another tool": ({"tool": "refund"}, ArgumentsChanged),
    "another server": ({"server": "bank"}, ArgumentsChanged),
    "other bound values": ({"bind": {"who": "C-2"}}, ArgumentsChanged),
}


@pytest.mark.parametrize("abuse", ABUSES)
async def test_every_abuse_of_an_approval_has_its_own_reason(gated: Gated, abuse: str) -> None:
    changed, refusal = ABUSES[abuse]
    made = call(bind={"who": "C-1"})
    ticket = await gated.ticket(made)
    gated.desk.decide(ticket.id)
    other = call(**{"bind": {"who": "C-1"}, **changed}, id="c2", ticket=ticket.id)
    with pytest.raises(refusal) as raised:
        await gated(other)
    assert type(raised.value) is refusal and "Nothing was run" in str(raised.value) and not gated.sent
    assert "bob" not in str(raised.value) and "ada" not in str(raised.value)
    void = abuse in ("another policy", "another schema")
    assert gated.desk.get(ticket.id).state == ("expired" if void else "approved")


async def test_other_arguments_than_those_approved_are_refused(gated: Gated) -> None:
    ticket = await gated.ticket(call())
    gated.desk.decide(ticket.id, arguments={"amount": 50})
    for amount in (100, 51):
        with pytest.raises(ArgumentsChanged):
            await gated(call(arguments={"amount": amount}, ticket=ticket.id))
    assert await gated(presenting(gated.desk.get(ticket.id), call())) == DONE


async def test_a_ticket_that_is_absent_and_one_of_another_agent_are_answered_alike(gated: Gated) -> None:
    ticket = await gated.ticket(call())
    told = []
    for identity in (ticket.id, "0" * len(ticket.id)):
        with pytest.raises(TicketUnknown) as raised:
            await gated(call(agent="bob", ticket=identity))
        told.append(str(raised.value).replace(identity, "T"))
    assert told[0] == told[1]


async def test_an_approval_that_nobody_came_for_in_time_is_void(gated: Gated, clock: Clock) -> None:
    ticket = await gated.ticket(call())
    gated.desk.decide(ticket.id)
    clock.now = ticket.expires
    with pytest.raises(TicketExpired):
        await gated(presenting(ticket, call()))
    assert gated.desk.get(ticket.id).why == "time"


async def test_an_edit_that_falls_under_another_gate_needs_that_ones_consent(gated: Gated) -> None:
    ticket = await gated.ticket(call())
    gated.desk.decide(ticket.id, arguments={"amount": 5})
    edited = gated.desk.get(ticket.id)
    again = presenting(edited, call(rule="r2"))
    with pytest.raises(ArgumentsChanged, match="another rule"):
        await gated(again)
    assert (gated.desk.get(ticket.id).state, gated.desk.get(ticket.id).why) == ("expired", "arguments")


async def test_an_edit_that_falls_under_a_rule_without_gate_passes(gated: Gated) -> None:
    ticket = await gated.ticket(call())
    gated.desk.decide(ticket.id, arguments={"amount": 5})
    made = presenting(gated.desk.get(ticket.id), call(rule="r2"))
    assert made.permit is not None
    assert await gated(replace(made, permit=replace(made.permit, terms=Terms()))) == DONE


async def test_a_withdrawn_ticket_is_void(gated: Gated) -> None:
    ticket = await gated.ticket(call())
    with pytest.raises(TicketUnknown):
        gated.desk.withdraw(ticket.id, "bob")
    gated.desk.withdraw(ticket.id)
    with pytest.raises(TicketVoid, match="withdrawn"):
        await gated(presenting(ticket, call()))

"""How tickets come to be, and which calls share one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import pytest
from approvals_parts import APPROVAL, TIERS, Clock, Desk, call, presenting, tool
from databases import Place
from sqlalchemy import select

from gateway.approvals import MASK
from gateway.approvals.shown import content, ticket_json
from gateway.errors import ArgumentsChanged, KeyConflict, TooManyPending
from gateway.fingerprint import fingerprint
from gateway.tables import tickets
from gateway.terms import Gate


def test_a_gated_call_becomes_a_ticket_with_its_event(desk: Desk, clock: Clock) -> None:
    ticket = desk.open(call(run="r", key="k", confidence=0.4, statement="the customer asked"))
    assert (ticket.state, ticket.kind, ticket.agent, ticket.run, ticket.key) == ("pending", "approval", "ada", "r", "k")
    assert (ticket.opened, ticket.expires) == (clock.now, clock.now + 3600)
    assert (ticket.given, ticket.reason, ticket.confidence) == ({"amount": 100}, "the customer asked", 0.4)
    assert desk.get(ticket.id) == ticket
    (event,) = desk.events()
    assert event["event"] == "ticket" and event["ticket"] == ticket.id and event["deed"] == "opened"


def test_what_the_rule_says_stands_on_the_ticket(desk: Desk, clock: Clock) -> None:
    gate = replace(TIERS, words="Is the customer known?", expires=60.0, approvers=2)
    ticket = desk.open(call(gate=gate), gate)
    assert (ticket.words, ticket.approvers, ticket.expires) == ("Is the customer known?", 2, clock.now + 60)
    assert ticket.tiers == gate.tiers and ticket.escalates == clock.now + 60 and ticket.asks() == {"lead"}


def test_secrets_are_masked_for_people_and_sealed_in_the_store(desk: Desk) -> None:
    gated = call(
        arguments={"card": "4111-secret", "amount": 5},
        bind={"who": "C-1"},
        definition=tool(secrets=frozenset({"card"})),
    )
    ticket = desk.open(gated)
    assert ticket.shown == {"card": MASK, "amount": 5, "who": "C-1"}
    assert ticket.given["card"] == "4111-secret" and ticket.bound == {"who": "C-1"}
    stored = " ".join(str(value) for row in desk.store.read(select(tickets)) for value in row)
    assert "4111-secret" not in stored + str(desk.events()) + repr(ticket)


def test_what_people_see_does_not_tell_by_a_digest_which_secret_was_given(desk: Desk) -> None:
    pin = partial(call, definition=tool(secrets=frozenset({"pin"})))
    ticket = desk.open(pin(arguments={"pin": "4711", "amount": 5}))
    guess = fingerprint("shop", "pay", "call", {"pin": "4711", "amount": 5}, {})
    assert guess == ticket.fingerprint
    assert guess not in json.dumps([desk.events(), ticket_json(ticket, 0.0), content(ticket)])
    other = replace(ticket, given={"pin": "0815", "amount": 5})
    assert content(other) == content(ticket) != content(replace(ticket, edited={"pin": "4711", "amount": 6}))


@pytest.mark.parametrize("second", [{}, {"key": "toolu_2", "meta": {"claudecode/toolUseId": "toolu_2"}}])
def test_an_identical_call_joins_its_ticket_while_that_is_open(desk: Desk, second: dict[str, object]) -> None:
    first = desk.open(call(key="toolu_1"))
    assert desk.open(call(id="c9", **second)).id == first.id
    desk.decide(first.id)
    assert desk.open(call(id="c9", **second)).id == first.id, "approved, not used yet"
    desk.consume(presenting(desk.get(first.id), call()))
    assert desk.open(call(id="c9", **second)).id != first.id


@pytest.mark.parametrize(
    "other",
    [
        {"arguments": {"amount": 101}},
        {"agent": "bob"},
        {"run": "other"},
        {"bind": {"who": "C-2"}},
        {"key": "mine", "meta": {"toolgate/key": "mine"}},
        {"server": "bank"},
    ],
)
def test_another_call_has_a_ticket_of_its_own(desk: Desk, other: dict[str, object]) -> None:
    first = desk.open(call())
    assert desk.open(call(**other)).id != first.id


def test_a_key_stands_for_its_call_whatever_became_of_the_ticket(desk: Desk) -> None:
    keyed = partial(call, key="k", meta={"toolgate/key": "k"})
    ticket = desk.open(keyed())
    desk.decide(ticket.id, verdict="reject", words="no")
    assert desk.open(keyed()).state == "rejected"
    with pytest.raises(KeyConflict, match="another call"):
        desk.open(keyed(arguments={"amount": 1}))
    assert desk.open(keyed(agent="bob", arguments={"amount": 1})).state == "pending", "keys are each agent's own"


def test_the_key_of_an_edited_call_stands_for_both_forms(desk: Desk) -> None:
    ticket = desk.open(call(key="k"))
    desk.decide(ticket.id, arguments={"amount": 50})
    assert desk.open(call(key="k")).id == desk.open(call(key="k", arguments={"amount": 50})).id == ticket.id


def test_a_ticket_whose_time_is_over_is_not_joined_before_anybody_noticed(desk: Desk, clock: Clock) -> None:
    for keyed in ({}, {"key": "k", "meta": {"toolgate/key": "k"}}):
        ticket = desk.open(call(**keyed))
        clock.now = ticket.expires
        assert desk.open(call(**keyed)).id != ticket.id
        assert (desk.get(ticket.id).state, desk.get(ticket.id).why) == ("expired", "time")


@pytest.mark.parametrize("end", ["time", "withdrawn"])
async def test_after_a_ticket_expired_the_call_is_asked_for_anew(desk: Desk, clock: Clock, end: str) -> None:
    ticket = desk.open(call(key="k"))
    if end == "time":
        clock.now += 3601
        desk.store.start()
        await desk.sweep()
    else:
        desk.withdraw(ticket.id)
    assert (desk.get(ticket.id).state, desk.get(ticket.id).why) == ("expired", end)
    assert desk.open(call(key="k")).id != ticket.id


@pytest.mark.parametrize(
    ("change", "why"), [({"grant": "g2"}, "policy"), ({"definition": tool("Pays twice.")}, "schema")]
)
def test_a_ticket_under_another_policy_or_schema_is_void_and_asked_for_anew(
    desk: Desk, change: dict[str, object], why: str
) -> None:
    ticket = desk.open(call())
    assert desk.open(call(**change)).id != ticket.id
    assert (desk.get(ticket.id).state, desk.get(ticket.id).why) == ("expired", why)


def test_an_agent_cannot_bury_what_others_wait_for(database: Place, clock: Clock) -> None:
    with Desk(database, clock, pending=3) as desk:
        first, *_ = [desk.open(call(arguments={"amount": amount})) for amount in range(3)]
        asking = partial(desk.approvals.ask, call=call(server="toolgate", tool="escalate"), reason="and again")
        with pytest.raises(TooManyPending, match="3 tickets of ada"):
            desk.open(call(arguments={"amount": 9}))
        with pytest.raises(TooManyPending):
            desk.store.run(asking)
        assert desk.open(call(arguments={"amount": 0})).id == first.id, "what waits already is joined"
        assert desk.open(call("bob", arguments={"amount": 9})).state == "pending"
        desk.decide(first.id)
        last = desk.store.run(asking)
        assert last.state == "pending"
        desk.withdraw(last.id)
        with pytest.raises(TooManyPending, match="withdrawn lately"):
            desk.store.run(asking)
        clock.now += 3599
        with pytest.raises(TooManyPending):
            desk.store.run(asking)
        clock.now += 1
        assert desk.store.run(asking).state == "pending"


def test_an_agent_can_ask_and_a_step_can_be_given_up(desk: Desk) -> None:
    asked = desk.store.run(
        partial(desk.approvals.ask, call=call(server="toolgate", tool="escalate"), reason="too much for me")
    )
    assert (asked.kind, asked.reason, asked.state) == ("request", "too much for me", "pending")
    step = desk.store.run(
        partial(
            desk.approvals.give_up,
            agent="ada",
            run="r1",
            server="shop",
            tool="refund",
            call="c1",
            why="it failed 8 times",
            shown={"amount": 3},
        )
    )
    assert (step.kind, step.words, step.shown) == ("undo", "it failed 8 times", {"amount": 3})
    assert step.expires > step.opened + 365 * 86_400


@pytest.mark.parametrize(("type", "said", "kept"), [("approval", 0.0, None), ("confidence", 0.0, 0.0)])
def test_confidence_that_nobody_asked_for_and_nobody_gave_is_none(
    desk: Desk, type: str, said: float, kept: float
) -> None:
    gate = Gate(type, lambda arguments: True, threshold=0.9)  # type: ignore[arg-type]
    assert desk.open(call(gate=gate, confidence=said), gate).confidence == kept


def test_the_tickets_with_the_least_time_left_are_not_cut_off_by_newer_ones(desk: Desk, clock: Clock) -> None:
    urgent = desk.open(call(arguments={"amount": 1}))
    clock.now += 1
    desk.open(call(arguments={"amount": 2}), replace(APPROVAL, expires=9999.0))
    found = desk.approvals.find(states=["pending"], limit=1, soonest=True)
    assert [ticket.id for ticket in found] == [urgent.id]


def test_tickets_are_found_newest_first(desk: Desk, clock: Clock) -> None:
    made = []
    for amount in range(3):
        made.append(desk.open(call(arguments={"amount": amount}, run=f"r{amount}")).id)
        clock.now += 1
    desk.decide(made[0])
    assert [ticket.id for ticket in desk.approvals.find()] == made[::-1]
    assert [ticket.id for ticket in desk.approvals.find(states=["approved"])] == made[:1]
    assert [ticket.id for ticket in desk.approvals.find(run="r1")] == [made[1]]
    assert desk.approvals.find(agent="bob") == [] and len(desk.approvals.find(limit=2)) == 2


async def test_tickets_of_a_lost_key_can_be_seen_and_closed_but_not_used(database: Place, clock: Clock) -> None:
    with Desk(database, clock) as desk:
        ticket = desk.open(call())
    with Desk(database, clock, key=b"w" * 32) as desk:
        assert [(found.shown, found.given) for found in desk.approvals.find()] == [({"amount": 100}, {})]
        desk.decide(ticket.id)
        with pytest.raises(ArgumentsChanged):
            desk.consume(presenting(desk.get(ticket.id), call()))
        clock.now = ticket.expires
        desk.store.start()
        await desk.sweep()
        assert desk.get(ticket.id).state == "expired"

"""Every state of a ticket, and everything that can be done to it: what it becomes, or how that is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from approvals_parts import Clock, Desk, call, presenting

from gateway.approvals import Ticket, Undecidable
from gateway.errors import PolicyChanged, Rejected, TicketExpired, TicketUsed, TicketVoid

HOUR = 3600.0


def pending(desk: Desk) -> str:
    return desk.open(call()).id


def approved(desk: Desk) -> str:
    return desk.decide(pending(desk)).id


def rejected(desk: Desk) -> str:
    return desk.decide(pending(desk), verdict="reject", words="too much").id


def expired(desk: Desk) -> str:
    return desk.withdraw(pending(desk)).id


def consumed(desk: Desk) -> str:
    ticket = approved(desk)
    consume(desk, desk.get(ticket))
    return ticket


def approve(desk: Desk, ticket: Ticket) -> None:
    desk.decide(ticket.id)


def edit(desk: Desk, ticket: Ticket) -> None:
    desk.decide(ticket.id, arguments={"amount": 1})


def reject(desk: Desk, ticket: Ticket) -> None:
    desk.decide(ticket.id, verdict="reject")


def withdraw(desk: Desk, ticket: Ticket) -> None:
    desk.withdraw(ticket.id)


def consume(desk: Desk, ticket: Ticket) -> None:
    desk.consume(presenting(ticket, call()))


def restore(desk: Desk, ticket: Ticket) -> None:
    desk.restore(presenting(ticket, call()))


def present(desk: Desk, ticket: Ticket) -> None:
    if (refused := desk.present(presenting(ticket, call()))) is not None:
        raise refused


def present_under_another_policy(desk: Desk, ticket: Ticket) -> None:
    if (refused := desk.present(presenting(ticket, call(grant="g2")))) is not None:
        raise refused


STATES: dict[str, Callable[[Desk], str]] = {
    make.__name__: make for make in (pending, approved, rejected, expired, consumed)
}
ACTIONS: dict[str, Callable[[Desk, Ticket], None]] = {
    act.__name__: act
    for act in (approve, edit, reject, withdraw, consume, restore, present, present_under_another_policy)
}
SAME = "same"
DECIDED, CLOSED = (SAME, "decided"), (SAME, "expired")
BECOMES: dict[str, dict[str, Any]] = {
    "pending": {
        "approve": "approved",
        "edit": "approved",
        "reject": "rejected",
        "withdraw": "expired",
        "consume": (SAME, TicketVoid),
        "restore": SAME,
        "present": SAME,
        "present_under_another_policy": SAME,
    },
    "approved": {
        "approve": DECIDED,
        "edit": DECIDED,
        "reject": DECIDED,
        "withdraw": SAME,
        "consume": "consumed",
        "restore": SAME,
        "present": SAME,
        "present_under_another_policy": ("expired", PolicyChanged),
    },
    "rejected": {
        "approve": DECIDED,
        "edit": DECIDED,
        "reject": DECIDED,
        "withdraw": SAME,
        "consume": (SAME, Rejected),
        "restore": SAME,
        "present": (SAME, Rejected),
        "present_under_another_policy": (SAME, Rejected),
    },
    "expired": {
        "approve": CLOSED,
        "edit": CLOSED,
        "reject": CLOSED,
        "withdraw": SAME,
        "consume": (SAME, TicketVoid),
        "restore": SAME,
        "present": (SAME, TicketVoid),
        "present_under_another_policy": (SAME, TicketVoid),
    },
    "consumed": {
        "approve": DECIDED,
        "edit": DECIDED,
        "reject": DECIDED,
        "withdraw": SAME,
        "consume": (SAME, TicketUsed),
        "restore": "approved",
        "present": SAME,
        "present_under_another_policy": SAME,
    },
}
"""What each action makes of each state, with the refusal of it: an exception, or the reason of an Undecidable."""


def test_the_table_is_whole() -> None:
    assert BECOMES.keys() == STATES.keys()
    assert all(row.keys() == ACTIONS.keys() for row in BECOMES.values())


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", STATES)
def test_every_action_on_every_state(desk: Desk, state: str, action: str) -> None:
    ticket = desk.get(STATES[state](desk))
    told = len(desk.events())
    expected = BECOMES[state][action]
    target, refusal = expected if isinstance(expected, tuple) else (expected, None)
    if refusal is None:
        ACTIONS[action](desk, ticket)
    elif isinstance(refusal, str):
        with pytest.raises(Undecidable) as raised:
            ACTIONS[action](desk, ticket)
        assert raised.value.reason == refusal
    else:
        with pytest.raises(refusal) as refused:
            ACTIONS[action](desk, ticket)
        assert type(refused.value) is refusal
    now = desk.get(ticket.id)
    if target == SAME:
        assert now == ticket and len(desk.events()) == told
    else:
        assert now.state == target and now.revision > ticket.revision
        assert len(desk.events()) == told + 1 and desk.events()[-1]["state"] == target


@pytest.mark.parametrize("jump", [HOUR, 24 * HOUR])
@pytest.mark.parametrize("state", STATES)
async def test_a_clock_that_jumps_forward_ends_what_is_open(desk: Desk, clock: Clock, state: str, jump: float) -> None:
    ticket = desk.get(STATES[state](desk))
    clock.now += jump
    if state in ("pending", "approved"):
        with pytest.raises(TicketExpired if state == "approved" else TicketVoid):
            consume(desk, ticket)  # before anything noticed the time
        with pytest.raises(Undecidable):
            approve(desk, ticket)
    desk.store.start()
    await desk.sweep()
    open_before = state in ("pending", "approved")
    assert desk.get(ticket.id).state == ("expired" if open_before else state)
    told = len(desk.events())
    await desk.sweep()
    clock.now -= jump  # and back again: what is over stays over
    await desk.sweep()
    assert len(desk.events()) == told
    if open_before:
        with pytest.raises(TicketExpired):
            consume(desk, ticket)


@pytest.mark.parametrize("jump", [HOUR, 24 * HOUR])
async def test_a_clock_that_jumps_back_leaves_one_execution(desk: Desk, clock: Clock, jump: float) -> None:
    ticket = desk.get(approved(desk))
    clock.now -= jump
    desk.store.start()
    await desk.sweep()
    consume(desk, ticket)
    with pytest.raises(TicketUsed):
        consume(desk, ticket)
    clock.now += 2 * jump
    await desk.sweep()
    assert desk.get(ticket.id).state == "consumed"


async def test_an_approval_given_back_after_its_time_expires(desk: Desk, clock: Clock) -> None:
    ticket = desk.get(consumed(desk))
    clock.now += HOUR
    restore(desk, ticket)
    desk.store.start()
    await desk.sweep()
    assert (desk.get(ticket.id).state, desk.get(ticket.id).why) == ("expired", "time")

"""Who may decide, when, and on what."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from approvals_parts import APPROVAL, TIERS, TWO, Clock, Desk, call, presenting, tool
from databases import Place
from processes import finish

from gateway.approvals import Ticket, Undecidable
from gateway.approvals.shown import current
from gateway.errors import ArgumentsChanged
from gateway.fingerprint import fingerprint

HERE = Path(__file__).parent


def undecidable(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Undecidable) as raised:
        act()
    return raised.value.reason, str(raised.value)


def test_the_loser_of_a_race_is_told_who_decided_what(desk: Desk) -> None:
    ticket = desk.open(call())
    desk.decide(ticket.id, "rita", "reject", words="no")
    reason, text = undecidable(lambda: desk.decide(ticket.id, "rob"))
    assert reason == "decided" and "rita" in text and "reject" in text
    assert undecidable(lambda: desk.decide("nosuchticket"))[0] == "absent"


def test_the_requester_cannot_decide(desk: Desk) -> None:
    ticket = desk.open(call())
    assert undecidable(lambda: desk.decide(ticket.id, "ada"))[0] == "requester"
    assert desk.get(ticket.id).state == "pending"


def test_nobody_decides_after_the_time_even_before_it_is_noticed(desk: Desk, clock: Clock) -> None:
    ticket = desk.open(call())
    clock.now = ticket.expires
    assert undecidable(lambda: desk.decide(ticket.id))[0] == "expired"


def test_two_approvers_are_two_people(desk: Desk) -> None:
    ticket = desk.open(call(gate=TWO), TWO)
    assert desk.decide(ticket.id, "rita").state == "pending"
    assert undecidable(lambda: desk.decide(ticket.id, "rita"))[0] == "twice"
    done = desk.decide(ticket.id, "rob", words="fine")
    assert done.state == "approved" and done.decided is not None
    assert [(each.reviewer, each.words) for each in done.decisions] == [("rita", ""), ("rob", "fine")]


@pytest.mark.parametrize("who", ["rita", "rob"])
def test_one_rejection_rejects(desk: Desk, who: str) -> None:
    ticket = desk.open(call(gate=TWO), TWO)
    desk.decide(ticket.id, "rita")
    assert desk.decide(ticket.id, who, "reject").state == "rejected"


def test_an_edit_asks_for_all_approvals_again(desk: Desk) -> None:
    ticket = desk.open(call(gate=TWO), TWO)
    desk.decide(ticket.id, "rita")
    assert desk.decide(ticket.id, "rob", arguments={"amount": 60}).state == "pending", "rita approved another amount"
    assert desk.decide(ticket.id, "rita").state == "approved"
    assert desk.get(ticket.id).edited == {"amount": 60}


def test_one_reviewer_cannot_be_two_by_editing(desk: Desk) -> None:
    ticket = desk.open(call(gate=TWO), TWO)
    for amount in (90, 80, 100, 70):
        assert desk.decide(ticket.id, "rita", arguments={"amount": amount}).state == "pending"
    assert undecidable(lambda: desk.decide(ticket.id, "rita", arguments={"amount": 70}))[0] == "twice"


def test_an_edited_call_runs_with_the_edited_arguments_only(desk: Desk) -> None:
    made = call(bind={"who": "C-1"})
    ticket = desk.open(made)
    edited = desk.decide(ticket.id, arguments={"amount": 60})
    assert edited.approved == fingerprint("shop", "pay", "call", {"amount": 60}, {"who": "C-1"})
    assert current(edited) == {"amount": 60, "who": "C-1"} and edited.shown == {"amount": 100, "who": "C-1"}
    (event,) = desk.events("decision")
    assert event["edited"] == {"amount": 60} and event["previous"] == {"amount": 100}
    with pytest.raises(ArgumentsChanged):
        desk.consume(replace(made, ticket=ticket.id))
    desk.consume(presenting(edited, made))


def test_an_edit_that_changes_nothing_is_an_approval(desk: Desk) -> None:
    ticket = desk.open(call())
    done = desk.decide(ticket.id, arguments={"amount": 100})
    assert done.edited is None and not done.decisions[0].edited
    other = desk.open(call(arguments={"amount": 1}))
    assert desk.decide(other.id, arguments={"amount": True}).edited == {"amount": True}, "1 is not true"


def test_secrets_stay_as_the_agent_gave_them(desk: Desk) -> None:
    made = call(arguments={"card": "4111", "amount": 100}, definition=tool(secrets=frozenset({"card"})))
    ticket = desk.open(made)
    edited = desk.decide(ticket.id, arguments={"card": "[secret]", "amount": 60})
    assert edited.edited == {"card": "4111", "amount": 60}
    assert current(edited) == {"card": "[secret]", "amount": 60}
    assert "4111" not in str(desk.events())


def test_what_cannot_be_edited(desk: Desk) -> None:
    ticket = desk.open(call(bind={"who": "C-1"}))
    assert undecidable(lambda: desk.decide(ticket.id, arguments={"who": "C-2"}))[0] == "arguments"
    assert undecidable(lambda: desk.decide(ticket.id, verdict="reject", arguments={"amount": 1}))[0] == "arguments"
    assert undecidable(lambda: desk.decide(ticket.id, arguments={"amount": object()}))[0] == "arguments"
    asked = desk.store.run(lambda connection: desk.approvals.ask(connection, call(tool="escalate"), "help"))
    assert undecidable(lambda: desk.decide(asked.id, arguments={"reason": "x"}))[0] == "arguments"
    assert desk.decide(asked.id, words="do it by hand").state == "approved"


async def test_tiers_are_asked_one_after_the_other(desk: Desk, clock: Clock) -> None:
    ticket = desk.open(call(gate=TIERS), TIERS)
    desk.store.start()
    assert undecidable(lambda: desk.decide(ticket.id, "owner"))[0] == "tier"
    for seconds, asked in ((59, {"lead"}), (1, {"lead", "head", "deputy"}), (119, {"lead", "head", "deputy"})):
        clock.now += seconds
        await desk.sweep()
        assert desk.get(ticket.id).asks() == asked
    clock.now += 1
    await desk.sweep()
    now = desk.get(ticket.id)
    assert now.asks() == {"lead", "head", "deputy", "owner"} and now.escalates is None
    assert [event["tier"] for event in desk.events() if event.get("deed") == "escalated"] == [1, 2]
    assert desk.decide(ticket.id, "lead").state == "approved", "whoever was asked first may still decide"


async def test_each_tier_has_its_time_after_the_clock_jumped(desk: Desk, clock: Clock) -> None:
    ticket = desk.open(call(gate=TIERS), replace(TIERS, expires=10 * 86_400.0))
    desk.store.start()
    clock.now += 86_400
    await desk.sweep()
    assert desk.get(ticket.id).tier == 1 and desk.get(ticket.id).escalates == clock.now + 120


def test_of_reviewers_that_race_in_threads_one_decides(desk: Desk) -> None:
    ticket = desk.open(call()).id
    won: list[Ticket] = []
    lost: list[str] = []
    ready = threading.Barrier(8)

    def race(number: int) -> None:
        ready.wait()
        try:
            won.append(desk.decide(ticket, f"r{number}", "approve" if number % 2 else "reject"))
        except Undecidable as error:
            lost.append(error.reason)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and lost == ["decided"] * 7
    assert len(desk.events("decision")) == 1 and desk.get(ticket) == won[0]


def test_of_reviewers_that_race_in_two_processes_one_decides_each_ticket(desk: Desk) -> None:
    gated = [call(arguments={"amount": amount}) for amount in range(30)]
    opening = desk.approvals.open
    made = desk.store.run(lambda connection: [opening(connection, each, APPROVAL).id for each in gated])
    racing = [
        threading.Thread(target=lambda name=name: ended.append(_race(desk.place, name, made)))  # type: ignore[misc]
        for name in ("rita", "rob")
    ]
    ended: list[str] = []
    for thread in racing:
        thread.start()
    for thread in racing:
        thread.join()
    decided = [ticket for said in ended for ticket in said.split()]
    assert sorted(decided) == sorted(made), "each by one of them, none by both"
    for ticket in made:
        assert len(desk.get(ticket).decisions) == 1


_RACER = """
import sys
from pathlib import Path
sys.path[:0] = [{here!r}, {tests!r}]
from approvals_parts import Clock, Desk
from databases import Place
from gateway.approvals import Undecidable
with Desk(Place(Path({path!r}), {url!r}), Clock()) as desk:
    for ticket in {tickets!r}:
        try:
            desk.decide(ticket, {name!r})
        except Undecidable as error:
            assert error.reason == "decided", error
        else:
            print(ticket)
"""


def _race(place: Place, name: str, made: list[str]) -> str:
    told = {"here": str(HERE), "tests": str(HERE.parent), "tickets": made, "name": name}
    told |= {"path": str(place.path), "url": place.url}
    done = finish([sys.executable, "-c", _RACER.format(**told)], 30)
    assert done.returncode == 0, done.stderr
    return done.stdout

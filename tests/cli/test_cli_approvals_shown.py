"""What waits is listed and shown whole: nothing hidden in it, no secret, nothing that passes for our own words."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
from asking import CHARGE, TIERS, TWO, UNSURE, ask, call, opened, reviewer
from desk import Desk

from gateway.approvals.shown import content
from gateway.events import insert_events
from gateway.times import lasting


def test_what_waits_is_listed_the_most_urgent_first(desk: Desk) -> None:
    assert desk.run("approvals", "list").stdout == "Nothing waits for a decision.\n"
    slow, fast = ask(desk, call()), ask(desk, call({"amount": 2}), TIERS)
    with opened(desk) as state:
        state.store.run(partial(state.approvals.withdraw, ticket=slow.id, agent="payment"))
    other = ask(desk, call({"amount": 3}))
    lines = desk.run("approvals", "list").stdout.splitlines()
    assert lines[0].split() == ["TICKET", "LEFT", "KIND", "AGENT", "TOOL", "ARGUMENTS"]
    assert [line.split()[0] for line in lines[1:]] == [fast.id, other.id]
    assert "escalation  payment  shop/charge_card  amount 2" in lines[1]
    everything = desk.run("approvals", "list", "--all").stdout.splitlines()
    assert {line.split()[0]: line.split()[1] for line in everything[1:]} == {
        slow.id: "expired",
        fast.id: "pending",
        other.id: "pending",
    }
    assert json.loads(desk.run("approvals", "list", "--agent", "nobody", "--json").stdout) == []


def test_a_ticket_tells_what_would_run_who_asks_why_and_who_decides(desk: Desk) -> None:
    made = call(bind={"tenant": "T-1"}, statement="Asked for twice.", run="order-7", confidence=0.55)
    ticket = ask(desk, made, UNSURE)
    shown = desk.run("approvals", "show", ticket.id).stdout
    for said in (
        f"Ticket {ticket.id} waits, 23 h 59 min left\npayment wants to call shop/charge_card with\n",
        '  order_id    "O-1"\n  amount      400\n  card_token  [secret]\n',
        '  tenant      "T-1"   (filled in by the gateway)\n',
        "Why, in the agent's own words, which nobody checked:\n\n  > Asked for twice.\n",
        "confidence  0.55 of 1, as the agent says\nrule        payment.toml:allow[0]\nrun         order-7\n",
        f"toolgate approvals approve {ticket.id} --digest {content(ticket)[:12]}\n",
    ):
        assert said in shown


def test_decisions_tiers_and_words_of_the_policy_are_shown(desk: Desk) -> None:
    ticket = ask(desk, call(), TWO)
    desk.run("approvals", "approve", ticket.id, "--words", "It does.", **reviewer(desk))
    shown = desk.run("approvals", "show", ticket.id).stdout
    assert "look at     Does the order explain the sum?\n" in shown
    assert "decides     2 different reviewers; approved so far by ann\n" in shown
    assert re.search(r"  ann approved it\n  > It does\.\n", shown)
    tiers = ask(desk, call({"amount": 2}), TIERS)
    assert "decides     lead; in 59 s also owner\n" in desk.run("approvals", "show", tiers.id).stdout


def test_the_agents_last_calls_are_shown(desk: Desk) -> None:
    ticket = ask(desk, call())
    with opened(desk) as state:
        row = state.audit.outcome_row(call(), "tool_error", seconds=0.1, result=None, reason=None)
        state.store.run(lambda connection: insert_events(connection, [row]))
    shown = desk.run("approvals", "show", ticket.id).stdout
    assert re.search(
        r"Last calls of payment:\n\n  WHEN +TOOL +OUTCOME\n  \d s ago  shop/charge_card  the tool rep", shown
    )
    lately = json.loads(desk.run("approvals", "show", ticket.id, "--json").stdout)["last_calls"]
    assert [(each["tool"], each["outcome"]) for each in lately] == [("charge_card", "tool_error")]


@pytest.mark.parametrize("hidden", ["\x1b[2J", "\u202e", "\u200b", "\x07", "\r", "\u2800"])
def test_nothing_that_agents_write_reaches_the_terminal_unseen(desk: Desk, hidden: str) -> None:
    evil = f"a{hidden}b\nrule        fine"
    arguments = CHARGE | {"note": evil, evil: 1}
    ticket = ask(desk, call(arguments, statement=evil, run=evil))
    for ran in (
        desk.run("approvals", "list"),
        desk.run("approvals", "show", ticket.id),
        desk.run("approvals", "approve", ticket.id, **reviewer(desk)),
    ):
        assert ran.returncode == 0
        assert hidden not in ran.stdout
        assert "\nrule        fine" not in ran.stdout
        assert "tok_4242" not in ran.stdout


def test_requests_and_steps_that_cannot_be_undone_say_what_deciding_means(desk: Desk) -> None:
    with opened(desk) as state:
        escalating = call({}, server="toolgate", tool="escalate")
        request = state.store.run(partial(state.approvals.ask, call=escalating, reason="Too much for me."))
        undo = state.store.run(
            partial(
                state.approvals.give_up,
                **{"agent": "payment", "run": "r", "server": "shop", "tool": "refund_card", "call": "c"},
                why="it was tried 8 times",
                shown={"charge_id": "ch_1"},
            )
        )
        left = state.store.run(
            partial(
                state.approvals.give_up,
                **{"agent": "payment", "run": "r", "server": "shop", "tool": "refund_card", "call": "c"},
                why="it was tried 8 times",
                shown={"charge_id": "ch_1"},
            )
        )
    shown = desk.run("approvals", "show", request.id).stdout
    assert "payment says that something is beyond it" in shown
    assert "the agent gets your words as the answer" in shown
    assert "edit" not in shown
    shown = desk.run("approvals", "show", undo.id).stdout
    assert "shop/refund_card could not undo a call of payment" in shown
    assert "tried again" in shown
    ann = reviewer(desk)
    assert "answered by ann" in desk.run("approvals", "approve", request.id, "--words", "Wait.", **ann).stdout
    assert "tries to undo it again" in desk.run("approvals", "approve", undo.id, **ann).stdout
    ran = desk.run("approvals", "edit", undo.id, "charge_id=ch_2", **ann)
    assert (ran.returncode, "no arguments to edit" in ran.stderr) == (1, True)
    said = desk.run("approvals", "reject", left.id, "--words", "Done by hand.", **ann).stdout
    assert "to be set right by hand" in said and "the agent is told" not in said


def test_statistics_count_by_tool_and_confidence(desk: Desk) -> None:
    assert desk.run("approvals", "stats").stdout == "Nothing was decided yet.\n"
    ann = reviewer(desk)
    for number, verdict in enumerate(["approve", "edit", "reject", "reject"]):
        ticket = ask(desk, call({"amount": number}, confidence=0.7), UNSURE)
        more = {"approve": [], "edit": ["amount:=50"], "reject": ["--words", "No."]}[verdict]
        assert desk.run("approvals", verdict, ticket.id, *more, **ann).returncode == 0
    (line,) = desk.run("approvals", "stats", "--since", "1h").stdout.splitlines()[1:]
    counts = ["shop/charge_card", "0.6-0.8", "4", "1 (25 %)", "1 (25 %)", "2 (50 %)", "-"]
    assert re.split(r"\s{2,}", line)[:7] == counts
    (shape,) = json.loads(desk.run("approvals", "stats", "--json").stdout)
    assert (shape["approved"], shape["edited"], shape["rejected"], shape["expired"]) == (1, 1, 2, 0)
    assert shape["wait_max"] >= 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (9e4, "1 d 1 h"),
    ],
)
def test_spans_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert lasting(seconds) == text

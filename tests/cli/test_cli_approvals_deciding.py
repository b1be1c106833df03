"""Reviewers decide on the command line: by a token, on what they were shown, first come first served."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from asking import CHARGE, TIERS, TWO, ask, call, get, pin_tool, reviewer
from desk import Desk

from gateway.approvals import Ticket
from gateway.approvals.shown import content
from gateway.terms import Gate


@pytest.fixture
def ann(desk: Desk) -> dict[str, str]:
    return reviewer(desk)


@pytest.fixture
def ticket(desk: Desk) -> Ticket:
    return ask(desk, call())


def test_an_approval_says_what_may_run_and_for_how_long(desk: Desk, ann: dict[str, str], ticket: Ticket) -> None:
    ran = desk.run("approvals", "approve", ticket.id[:6], "--words", "Fine.", **ann)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert (
        f"Ticket {ticket.id} is approved by ann. Once, within 23 h 59 min, payment may call shop/charge_card"
        in ran.stdout
    )
    assert "amount      400" in ran.stdout
    assert "tok_4242" not in ran.stdout
    now = get(desk, ticket)
    assert (now.state, now.decisions[0].reviewer, now.decisions[0].words) == ("approved", "ann", "Fine.")


def test_a_rejection_needs_words_for_the_agent(desk: Desk, ann: dict[str, str], ticket: Ticket) -> None:
    assert desk.run("approvals", "reject", ticket.id, **ann).returncode == 2
    assert desk.run("approvals", "reject", ticket.id, "--words", "  ", **ann).returncode == 1
    assert get(desk, ticket).state == "pending"
    assert desk.run("approvals", "reject", ticket.id, "--words", "Ask for less.", **ann).returncode == 0
    assert get(desk, ticket).decisions[0].words == "Ask for less."


def test_an_edit_approves_other_arguments_and_shows_both(desk: Desk, ann: dict[str, str]) -> None:
    ticket = ask(desk, call(CHARGE | {"note": "express"}, bind={"tenant": "T-1"}))
    ran = desk.run("approvals", "edit", ticket.id, "amount:=300", "order_id=O-2", "--without", "note", **ann)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "amount      300   (the agent gave 400)" in ran.stdout
    assert 'tenant      "T-1"   (filled in by the gateway)' in ran.stdout
    assert 'note        left out   (the agent gave "express")' in ran.stdout
    now = get(desk, ticket)
    assert now.state == "approved"
    assert now.edited == {"order_id": "O-2", "amount": 300, "card_token": CHARGE["card_token"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["amount:=9000"], "greater than the maximum of 500"),
        (["amount:=-1"], "less than the minimum of 0"),
        (["amount=300"], "not of type"),
        (["colour=red"], "colour"),
        (["card_token=tok_1"], "card_token is secret"),
        (["tenant=T-2"], "tenant is filled in by the gateway"),
        (["--without", "nothing"], "no argument nothing"),
        (["amount:=400"], "changes nothing"),
        ([], "changes nothing"),
    ],
)
def test_an_edit_that_would_not_run_is_refused_at_once(
    desk: Desk, ann: dict[str, str], changes: list[str], said: str
) -> None:
    pin_tool(desk)
    ticket = ask(desk, call(bind={"tenant": "T-1"}))
    ran = desk.run("approvals", "edit", ticket.id, *changes, **ann)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert said in ran.stderr
    assert "Fix: " in ran.stderr
    assert get(desk, ticket).state == "pending"


@pytest.mark.parametrize("change", ["amount", "amount:=", "amount:=NaN", ":=5"])
def test_a_change_that_is_none_is_wrong_usage(desk: Desk, ann: dict[str, str], ticket: Ticket, change: str) -> None:
    assert desk.run("approvals", "edit", ticket.id, change, **ann).returncode == 2


def test_two_reviewers_have_to_agree_on_the_same_arguments(desk: Desk, ann: dict[str, str]) -> None:
    bob, ticket = reviewer(desk, "bob"), ask(desk, call(), TWO)
    first = desk.run("approvals", "edit", ticket.id, "amount:=300", **ann)
    assert "1 of 2 reviewers have approved, so it still waits" in first.stdout
    again = desk.run("approvals", "approve", ticket.id, **ann)
    assert (again.returncode, "another reviewer has to" in again.stderr) == (1, True)
    digest = json.loads(desk.run("approvals", "show", ticket.id, "--json").stdout)["fingerprint"]
    other = desk.run("approvals", "approve", ticket.id, "--digest", content(ticket)[:12], **bob)
    assert (other.returncode, "is about other arguments now" in other.stderr) == (1, True)
    assert desk.run("approvals", "approve", ticket.id, "--digest", digest[:12], **bob).returncode == 0
    assert get(desk, ticket).state == "approved"


def test_who_comes_second_is_told_who_decided_what(desk: Desk, ann: dict[str, str], ticket: Ticket) -> None:
    desk.run("approvals", "reject", ticket.id, "--words", "No.", **ann)
    ran = desk.run("approvals", "approve", ticket.id, **reviewer(desk, "bob"))
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"ticket {ticket.id} is decided: ann said reject. Fix: see toolgate approvals show {ticket.id}" in ran.stderr


def test_only_reviewers_of_the_tier_may_decide(desk: Desk, ann: dict[str, str]) -> None:
    ticket = ask(desk, call(), TIERS)
    ran = desk.run("approvals", "approve", ticket.id, **ann)
    assert (ran.returncode, "for lead to decide" in ran.stderr) == (1, True)
    assert desk.run("approvals", "approve", ticket.id, **reviewer(desk, "lead")).returncode == 0


def test_nobody_decides_without_a_reviewers_token(desk: Desk, ticket: Ticket) -> None:
    agent = json.loads(desk.run("token", "create", "payment", "--json").stdout)["token"]
    made = json.loads(desk.run("reviewer", "create", "carl", "--json").stdout)
    desk.run("reviewer", "revoke", made["id"])
    tokens = {
        "": "TOOLGATE_REVIEWER_TOKEN: is not set",
        agent: "a token of an agent",
        made["token"]: "no reviewer's token in force",
    }
    for token, said in {**tokens, made["token"][:-1] + "!": "no reviewer's token in force"}.items():
        ran = desk.run("approvals", "approve", ticket.id, TOOLGATE_REVIEWER_TOKEN=token)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert said in ran.stderr
        assert token not in ran.stderr or not token
    assert get(desk, ticket).state == "pending"


def test_a_reviewer_whose_name_became_an_agents_decides_no_more(
    desk: Desk, ann: dict[str, str], ticket: Ticket
) -> None:
    desk.write("policies/ann.toml", (desk.folder / "policies/payment.toml").read_text().replace('"payment"', '"ann"'))
    assert desk.run("approvals", "approve", ticket.id, **ann).returncode == 1


def test_the_token_may_be_in_a_file_or_come_by_standard_input(
    desk: Desk, ann: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ann["TOOLGATE_REVIEWER_TOKEN"]
    first, second = ask(desk, call()), ask(desk, call({"amount": 2}))
    file = Path(desk.folder / "token")
    file.write_text(token + "\n")
    assert desk.run("approvals", "approve", first.id, "--token-file", str(file)).returncode == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(token + "\n"))
    assert desk.run("approvals", "approve", second.id, "--token-file", "-").returncode == 0
    absent = desk.run("approvals", "approve", second.id, "--token-file", "absent", **ann)
    assert (absent.returncode, "absent: No such file" in absent.stderr) == (1, True)


def test_the_beginning_of_an_id_is_enough_when_one_ticket_has_it(desk: Desk, ann: dict[str, str]) -> None:
    tickets = [ask(desk, call({"amount": number})) for number in range(40)]
    shared = next(each.id[0] for each in tickets if sum(other.id[0] == each.id[0] for other in tickets) > 1)
    ran = desk.run("approvals", "approve", shared, **ann)
    assert (ran.returncode, "several tickets begin so" in ran.stderr) == (1, True)
    for wrong in ("zzzzz1", "%", "_", ""):
        ran = desk.run("approvals", "approve", wrong, **ann)
        assert (ran.returncode, "there is no such ticket. Fix: " in ran.stderr) == (1, True), wrong


def test_an_expired_ticket_cannot_be_decided(desk: Desk, ann: dict[str, str]) -> None:
    ticket = ask(desk, call(), Gate("approval", lambda arguments: True, expires=0.001))
    ran = desk.run("approvals", "approve", ticket.id, **ann)
    assert (ran.returncode, "its agent has to ask again" in ran.stderr) == (1, True)


def test_decisions_need_neither_secrets_of_servers_nor_a_policy_that_loads(
    desk: Desk, ann: dict[str, str], ticket: Ticket
) -> None:
    desk.write(
        "gateway.toml", (desk.folder / "gateway.toml").read_text() + 'credentials.payment = { K = "${UNSET}" }\n'
    )
    desk.write("policies/payment.toml", "[[allow]")
    assert desk.run("approvals", "approve", ticket.id, **ann).returncode == 0

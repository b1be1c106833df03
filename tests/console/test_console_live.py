"""What happens to tickets shows by itself, whoever did it; and what somebody may not see any more goes away."""

from __future__ import annotations

from console_browser import Browser
from console_parts import REFUND, Office, approval, ask, tiers
from playwright.sync_api import expect

SOON = 2_000
"""Milliseconds in which a page shows what changed; the browser itself is much of it."""


def test_a_call_that_an_agent_makes_arrives_in_the_open_list(browser: Browser, office: Office) -> None:
    page = browser.signed_in()
    expect(page.locator("#live")).to_have_text("Live")
    before = page.locator(".row").count()
    assert "NOT EXECUTED" in ask(office, "support", "shop__pay", {**REFUND, "amount": 123})
    arrived = page.locator(".row").filter(has_text="amount: 123")
    expect(arrived).to_be_visible(timeout=SOON)
    expect(arrived).to_contain_text('customer_id: "C-1042"')
    assert page.locator(".row").count() == before + 1
    assert page.title() == f"({before + 1}) Waiting - Toolgate"
    expect(page.locator("#said")).to_have_text("1 new: support, shop/pay")


def test_a_decision_made_elsewhere_takes_the_ticket_off_the_list(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page = browser.signed_in()
    expect(page.locator(f"#t-{ticket}")).to_be_visible()
    office.decide(ticket, "ben")
    expect(page.locator(f"#t-{ticket}")).to_have_count(0, timeout=SOON)


def test_the_open_page_of_a_ticket_shows_a_decision_made_elsewhere(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page = browser.signed_in("anna", f"/console/tickets/{ticket}")
    expect(page.get_by_role("button", name="Approve and let it run once")).to_be_visible()
    office.decide(ticket, "ben", "reject", words="Not this one.")
    expect(page.locator("#decide")).to_contain_text("Not this one.", timeout=SOON)
    expect(page.locator("#decide button")).to_have_count(0)
    expect(page.locator("#said")).to_contain_text("ben rejected")


def test_what_is_being_typed_stays_when_the_ticket_goes_to_the_next_tier(browser: Browser, office: Office) -> None:
    ticket = office.seed(gate=tiers("anna", "lead"))
    page = browser.signed_in("anna", f"/console/tickets/{ticket}")
    page.locator("#words-approve").fill("half a sen")
    office.hurry(ticket, "escalates")
    expect(page.locator(".tiers .asked")).to_have_count(2, timeout=6_000)
    expect(page.locator("#words-approve")).to_have_value("half a sen")


def test_a_ticket_that_expires_shows_it_and_cannot_be_decided(browser: Browser, office: Office) -> None:
    ticket = office.seed(gate=approval(expires=200.0))
    waiting = browser.signed_in()
    page = browser.signed_in("anna", f"/console/tickets/{ticket}")
    expect(page.locator("#head .left")).to_have_class("left soon")
    expect(waiting.locator(f"#t-{ticket}")).to_be_visible()
    office.hurry(ticket, "expires")
    expect(page.locator("#head")).to_contain_text("time ran out", timeout=6_000)
    expect(page.locator("#decide button")).to_have_count(0)
    expect(waiting.locator(f"#t-{ticket}")).to_have_count(0)
    assert office.ticket(ticket).state == "expired"


def test_the_countdown_goes_on_by_itself(browser: Browser, office: Office) -> None:
    ticket = office.seed(gate=approval(expires=50.0))
    page = browser.signed_in("anna", f"/console/tickets/{ticket}")
    left = page.locator("#head .left")
    first = left.text_content() or ""
    expect(left).not_to_have_text(first, timeout=3_000)
    expect(left).to_contain_text("s left")


def test_the_list_comes_back_to_life_after_a_restart_of_the_gateway(browser: Browser, office: Office) -> None:
    page = browser.signed_in()
    expect(page.locator("#live")).to_have_text("Live")
    assert office.gateway.stop() == 0
    assert "Exception in ASGI application" not in office.gateway.output
    expect(page.locator("#live")).to_have_text("Connecting ...")
    ticket = office.seed()
    office.gateway.start()
    expect(page.locator(f"#t-{ticket}")).to_be_visible(timeout=8_000)
    browser.wrong.clear()  # the browser tells of connections that it could not make


def test_a_revoked_token_ends_the_session_and_what_is_open(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    list_page = browser.signed_in("carla")
    expect(list_page.locator("#live")).to_have_text("Live")
    for row in office.state.reviewers.list_all():
        if row.name == "carla":
            office.state.reviewers.revoke(row.id)
    expect(list_page.get_by_label("Your reviewer's token")).to_be_visible(timeout=4_000)
    list_page.goto(office.url(f"/console/tickets/{ticket}"))
    expect(list_page).to_have_url(office.url(f"/console/login?to=/console/tickets/{ticket}"))

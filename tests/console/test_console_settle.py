"""A call of which nobody knows whether it ran is settled by a reviewer who found out."""

from __future__ import annotations

import json

from console_browser import Browser
from console_parts import Office, ask
from playwright.sync_api import expect
from recorder import wait_until
from sqlalchemy import select

from gateway.tables import events


def lost(office: Office, key: str, text: str) -> str:
    """A call whose tool died on it; its id."""
    wait_until(lambda: "not known" in ask(office, "clerk", "shop__crash", {"text": text}, key=key), 20)
    office.shop.start()
    return next(each.call for each in office.state.ledger.unknown() if each.key == key)


def test_a_reviewer_says_what_happened_and_the_key_answers_with_that(browser: Browser, office: Office) -> None:
    happened, vanished = lost(office, "k1", "<b>one</b>"), lost(office, "k2", "two")
    page = browser.signed_in("anna", "/console/unknown")
    about = page.locator(f"#c-{happened}")
    expect(about).to_contain_text("shop/crash by clerk")
    expect(about.locator("pre")).to_contain_text("<b>one</b>")
    about.get_by_role("button", name="It happened", exact=True).click()
    expect(about).to_be_visible()
    about.get_by_label("How you found out").fill("It is in the ledger of the bank.")
    about.get_by_role("button", name="It happened", exact=True).click()
    expect(about).to_have_count(0)
    other = page.locator(f"#c-{vanished}")
    other.get_by_label("How you found out").fill("The bank knows nothing of it.")
    other.get_by_role("button", name="It did not happen").click()
    expect(other).to_have_count(0)
    assert {each.call for each in office.state.ledger.unknown()}.isdisjoint({happened, vanished})
    rows = office.state.store.read(select(events.c.data).where(events.c.call == happened).order_by(events.c.seq.desc()))
    assert "It is in the ledger of the bank." in json.loads(rows[0].data).values()


def test_of_two_reviewers_who_settle_the_second_hears_that_it_is_done(browser: Browser, office: Office) -> None:
    call = lost(office, "k3", "three")
    first, second = browser.signed_in("anna", "/console/unknown"), browser.signed_in("ben", "/console/unknown")
    for page in (first, second):
        about = page.locator(f"#c-{call}")
        about.get_by_label("How you found out").fill("I looked.")
        about.get_by_role("button", name="It did not happen").click()
    expect(second.get_by_role("alert")).to_have_text("This call is settled already, so nothing was done.")


def test_the_last_calls_of_an_agent_stand_on_its_ticket(browser: Browser, office: Office) -> None:
    ask(office, "clerk", "shop__look", {"text": "fine"})
    ask(office, "clerk", "shop__nothing", {})
    ticket = office.seed(agent="clerk")
    page = browser.signed_in("anna", f"/console/tickets/{ticket}")
    rows = page.locator("#lately tbody tr")
    expect(rows.nth(0)).to_contain_text("refused not found")
    expect(rows.nth(1)).to_contain_text("shop/look")
    expect(rows.nth(1)).to_contain_text("ok")

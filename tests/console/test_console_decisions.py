"""A reviewer reads what will run, and decides: the ticket is then what the page said it would be."""

from __future__ import annotations

from functools import partial

import pytest
from console_browser import Browser
from console_parts import REFUND, Office, approval, ask, call, tiers
from playwright.sync_api import Page, expect


def opened(browser: Browser, ticket: str, name: str = "anna") -> Page:
    return browser.signed_in(name, f"/console/tickets/{ticket}")


def argument(page: Page, name: str) -> object:
    return page.locator(".argument").filter(has=page.locator("dt code", has_text=name))


def test_the_page_tells_all_that_a_decision_needs(browser: Browser, office: Office) -> None:
    ticket = office.seed(
        statement="The customer never got the lamp.",
        confidence=0.62,
        run="run-7",
        gate=approval(type="confidence", words="Is the order cancelled?"),
    )
    page = opened(browser, ticket)
    expect(page.get_by_role("heading", level=1)).to_have_text("support wants to call shop/pay")
    expect(argument(page, "amount")).to_contain_text("900")
    expect(argument(page, "customer_id")).to_contain_text("filled in by the gateway")
    expect(argument(page, "card_token")).to_contain_text("secret")
    expect(page.locator("blockquote")).to_have_text("The customer never got the lamp.")
    expect(page.locator("main")).to_contain_text("not checked by anybody")
    for told in ("Is the order cancelled?", "62%", "support.toml:allow[0]", "run-7", "Low confidence", "left"):
        expect(page.locator("main")).to_contain_text(told)
    assert "tok_4242424242" not in page.content()


def test_approving(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page = opened(browser, ticket)
    page.get_by_label("Words for the agent and the record").first.fill("Checked with the warehouse.")
    page.get_by_role("button", name="Approve and let it run once").click()
    expect(page.locator("#decide")).to_contain_text("anna approved")
    expect(page.locator("#decide blockquote")).to_have_text("Checked with the warehouse.")
    stands = office.ticket(ticket)
    assert (stands.state, stands.decisions[0].words) == ("approved", "Checked with the warehouse.")
    assert stands.edited is None


def test_rejecting_takes_words_for_the_agent(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page = opened(browser, ticket)
    page.locator("#reject summary").click()
    page.get_by_role("button", name="Reject").click()
    assert office.ticket(ticket).state == "pending"
    page.locator("#words-reject").fill("It was delivered.\nAsk for a photo.")
    page.get_by_role("button", name="Reject").click()
    expect(page.locator("#decide")).to_contain_text("anna rejected")
    stands = office.ticket(ticket)
    assert (stands.state, stands.decisions[0].words) == ("rejected", "It was delivered.\nAsk for a photo.")


def test_an_edit_shows_before_and_after_and_leaves_the_rest_as_it_was(browser: Browser, office: Office) -> None:
    given = {**REFUND, "text": "line one\nline two", "lines": [{"sku": "LAMP", "count": 1}], "gift": True}
    ticket = office.seed(given)
    page = opened(browser, ticket)
    page.locator("#edit summary").click()
    expect(page.locator("#edit label code")).to_have_text(["amount", "text", "lines", "gift"])
    page.locator("#edit").get_by_label("amount").fill("450")
    expect(page.locator("#edit .differs")).to_have_count(1)
    page.get_by_role("button", name="Approve as edited").click()
    expect(argument(page, "amount").locator("del")).to_have_text("900")
    expect(argument(page, "amount").locator("ins")).to_have_text("450")
    expect(page.locator(".argument.changed")).to_have_count(1)
    stands = office.ticket(ticket)
    assert (stands.state, stands.edited) == ("approved", {**given, "amount": 450})


def test_what_was_approved_as_edited_runs_once_when_the_agent_comes_for_it(browser: Browser, office: Office) -> None:
    asked = {**REFUND, "text": "all of it"}
    assert "NOT EXECUTED" in ask(office, "support", "shop__pay", asked, key="e2e")
    page = browser.signed_in()
    page.locator(".row").filter(has_text="all of it").click()
    page.locator("#edit summary").click()
    page.locator("#edit").get_by_label("text").fill("half of it")
    page.get_by_role("button", name="Approve as edited").click()
    expect(page.locator("#head")).to_contain_text("Approved, not used yet")
    for _ in range(2):
        assert "half of it" in ask(office, "support", "shop__pay", asked, key="e2e")
    expect(page.locator("#head")).to_contain_text("Approved and used")
    ran = [each["text"] for each in office.shop.executions() if each["tool"] == "pay"]
    assert (ran.count("half of it"), ran.count("all of it")) == (1, 0)
    page.reload()
    expect(page.locator("#lately tbody tr").first).to_contain_text("shop/pay ok")


@pytest.mark.parametrize(
    ("name", "typed", "told"),
    [
        ("amount", "4x", "amount is to be JSON"),
        ("amount", "5000", "The policy of support refuses these arguments"),
        ("text", '"', None),
    ],
)
def test_an_edit_that_cannot_be_is_told_and_kept_to_be_mended(
    browser: Browser, office: Office, name: str, typed: str, told: str | None
) -> None:
    ticket = office.seed()
    page = opened(browser, ticket)
    page.locator("#edit summary").click()
    page.locator("#edit").get_by_label(name).fill(typed)
    page.get_by_role("button", name="Approve as edited").click()
    if told is None:
        expect(argument(page, "text").locator("ins")).to_have_text(typed)
        return
    expect(page.get_by_role("alert")).to_contain_text(told)
    expect(page.locator("#edit").get_by_label(name)).to_have_value(typed)
    assert office.ticket(ticket).state == "pending"


def test_of_two_reviewers_the_second_hears_who_decided_what(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    first, second = opened(browser, ticket, "anna"), opened(browser, ticket, "ben")
    # Without the live part the second would see the first one's decision before deciding.
    second.route("**/console/events", lambda route: route.abort())
    second.reload()
    first.get_by_role("button", name="Approve and let it run once").click()
    expect(first.locator("#decide")).to_contain_text("anna approved")
    second.locator("#reject summary").click()
    second.locator("#words-reject").fill("No.")
    second.get_by_role("button", name="Reject").click()
    expect(second.get_by_role("alert")).to_contain_text("anna said approve")
    assert [each.reviewer for each in office.ticket(ticket).decisions] == ["anna"]


def test_nobody_approves_arguments_they_never_saw(browser: Browser, office: Office) -> None:
    ticket = office.seed(gate=approval(approvers=2))
    page = opened(browser, ticket)
    page.route("**/console/events", lambda route: route.abort())
    page.reload()
    office.decide(ticket, "ben", arguments={"amount": 1, "text": "other"})
    page.get_by_role("button", name="Approve (1 of 2)").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody else edited the arguments meanwhile")
    expect(argument(page, "amount").locator("ins")).to_have_text("1")
    page.get_by_role("button", name="Approve and let it run once").click()
    expect(page.locator("#decide")).to_contain_text("anna approved")
    assert office.ticket(ticket).state == "approved"


def test_two_approvals_take_two_reviewers(browser: Browser, office: Office) -> None:
    ticket = office.seed(gate=approval(approvers=2))
    page = opened(browser, ticket, "anna")
    expect(page.locator("#decide")).to_contain_text("0 of 2 approvals")
    expect(page.locator("#decide")).to_contain_text("your approval alone lets nothing run")
    page.get_by_role("button", name="Approve (1 of 2)").click()
    expect(page.locator("#decide")).to_contain_text("You approved it already")
    expect(page.locator("#approve")).to_have_count(0)
    other = opened(browser, ticket, "ben")
    other.get_by_role("button", name="Approve and let it run once").click()
    expect(other.locator("#decide")).to_contain_text("ben approved")
    assert office.ticket(ticket).state == "approved"


def test_a_reviewer_of_a_later_tier_cannot_decide_yet(browser: Browser, office: Office) -> None:
    ticket = office.seed(gate=tiers("lead", "anna"))
    page = opened(browser, ticket, "anna")
    expect(page.locator("#decide")).to_contain_text("Only lead may decide now.")
    expect(page.locator("#decide button")).to_have_count(0)
    lead = opened(browser, ticket, "lead")
    lead.get_by_role("button", name="Approve and let it run once").click()
    expect(lead.locator("#decide")).to_contain_text("lead approved")


def test_a_step_that_could_not_be_undone_is_tried_again_or_left(browser: Browser, office: Office) -> None:
    give_up = partial(office.state.approvals.give_up, agent="support", run="run-9", server="shop", tool="void")
    ticket = office.state.store.run(partial(give_up, call="c" * 32, why="it was refused", shown={"charge": "ch_1"})).id
    page = browser.signed_in("anna", "/console/unknown")
    page.locator(f"#t-{ticket}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("shop/void could not undo a step of a run")
    expect(page.locator("main")).to_contain_text("Approving has the gateway try this step again")
    expect(page.locator("main")).to_contain_text("it was refused")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#decide")).to_contain_text("anna approved")


def test_a_request_of_an_agent_says_that_nothing_runs(browser: Browser, office: Office) -> None:
    asking = call({"reason": "Two customers have this name."}, server="toolgate", tool="escalate", bound={})
    ticket = office.state.store.run(
        partial(office.state.approvals.ask, call=asking, reason="Two customers have this name.")
    ).id
    page = opened(browser, ticket)
    expect(page.locator("blockquote")).to_have_text("Two customers have this name.")
    expect(page.locator("main")).to_contain_text("Neither answer runs anything")
    expect(page.locator("#edit")).to_have_count(0)
    page.locator("#words-approve").fill("Take the one in Kiel.")
    page.get_by_role("button", name="Approve: go on").click()
    expect(page.locator("#decide")).to_contain_text("Take the one in Kiel.")


def test_history_and_statistics_tell_what_was_decided(browser: Browser, office: Office) -> None:
    ticket = office.seed(statement="A first try.")
    office.decide(ticket, "ben", "reject", words="No.")
    page = browser.signed_in("anna", "/console/history")
    expect(page.locator(f"#t-{ticket}")).to_contain_text("Rejected")
    expect(page.locator(f"#t-{ticket}")).to_contain_text("ben")
    page.get_by_role("link", name="Statistics").click()
    expect(page.get_by_role("row").filter(has_text="shop/pay").first).to_contain_text("%")

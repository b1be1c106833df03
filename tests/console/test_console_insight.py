"""What reviewers look up in the console: the log, a run as a timeline, who may call what, how the servers do."""

from __future__ import annotations

import re
from urllib.parse import quote, urlencode

from console_browser import PHONE, Browser
from console_parts import REFUND, Office, ask
from insight_parts import ATTACK, RUN, Happened
from playwright.sync_api import Page, expect
from recorder import wait_until
from test_console_reading import CONTRAST


def run_of(agent: str) -> str:
    return "/console/run?" + urlencode({"agent": agent, "run": RUN}, quote_via=quote)


def rows(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in page.locator(".event").all_inner_texts()]


def test_the_log_is_searched_by_what_one_knows(browser: Browser, happened: Happened) -> None:
    page = browser.signed_in(path="/console/audit")
    page.keyboard.press("/")
    expect(page.get_by_label("Agent")).to_be_focused()
    page.get_by_label("Agent").fill("support")
    page.get_by_label("Run").fill(RUN)
    page.get_by_label("Reason").fill("denied")
    page.keyboard.press("Enter")
    expect(page.locator(".event")).to_have_count(1)
    assert "refusal shop/pay denied" in rows(page)[0]
    page.locator(".event a").click()
    expect(page.locator("pre")).to_contain_text('"amount": 2000')
    page.get_by_role("link", name=re.compile("<script>")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Run {RUN} of support")


def test_filters_work_together_and_say_what_is_wrong_with_them(browser: Browser, happened: Happened) -> None:
    page = browser.signed_in(path="/console/audit?tool=shop/note&kind=decision&since=1h")
    assert len(rows(page)) >= 1 and all("decision shop/note" in row for row in rows(page))
    assert page.get_by_label("Since (UTC)").input_value() == "1h"
    page.goto(browser.office.url("/console/audit?tool=shop/note&until=2001-01-01"))
    expect(page.get_by_text("No event is like that.")).to_be_visible()
    page.goto(browser.office.url("/console/audit?since=yesterday"))
    expect(page.get_by_role("alert")).to_contain_text("'yesterday' is no time for since: write a span")


def test_older_events_are_on_the_next_page(browser: Browser, happened: Happened, office: Office) -> None:
    for _ in range(51):
        office.reviewer("carla")
    page = browser.signed_in(path="/console/audit?kind=reviewer")
    expect(page.locator(".event")).to_have_count(50)
    first = page.locator(".event a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    page.get_by_role("link", name="Older events").click()
    second = page.locator(".event a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert second and not {*first} & {*second}
    seqs = [int(path.rpartition("/")[2]) for path in first + second]
    assert seqs == sorted(seqs, reverse=True)


def test_a_run_is_a_timeline(browser: Browser, happened: Happened) -> None:
    page = browser.signed_in(path=run_of("support"))
    entries = [" ".join(text.split()) for text in page.locator(".timeline > li").all_inner_texts()]
    assert [bool(entry) for entry in entries] == [True] * 4
    for entry, words in zip(
        entries, ("no such tool", "anna approved it after", "It worked, after", "denied"), strict=True
    ):
        assert words in entry, entries
    expect(page.locator(".totals")).to_contain_text("2 refused, 1 asked, 1 ok")
    quotes = page.locator("blockquote").all_inner_texts()
    assert quotes == [f"Go on. {ATTACK}", f"The customer says so. {ATTACK}"]
    page.get_by_role("link", name=f"Ticket {happened.ticket}").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("wanted to call shop/note")
    page.locator("#facts").get_by_role("link", name=re.compile("<script>")).click()
    expect(page).to_have_url(browser.office.url(run_of("support")))


def test_a_run_is_shown_of_the_agent_that_is_named(browser: Browser, happened: Happened) -> None:
    page = browser.signed_in(path=run_of("clerk"))
    expect(page.locator(".timeline > li")).to_have_count(2)
    assert REFUND["card_token"] not in page.content()
    for path in (run_of("nobody"), "/console/run?agent=clerk", "/console/run"):
        page.goto(browser.office.url(path))
        expect(page.get_by_role("alert")).to_contain_text("The log has no such run of this agent.")


def test_the_policy_in_force_is_told_by_agent_and_tool(browser: Browser, happened: Happened) -> None:
    page = browser.signed_in(path="/console/matrix")
    head = page.locator("thead th").all_inner_texts()
    assert head == ["Tool", "clerk", "support"]
    pay = page.locator("tr", has=page.locator("th code", has_text=re.compile("^pay$"))).locator("td").all_inner_texts()
    assert pay == ["yes", "args where, bind, gate"]
    page.get_by_role("link", name="support").click()
    expect(page.locator("article")).to_have_count(2)
    expect(page.get_by_text('"words": "Is the order really cancelled?"')).to_be_visible()
    page.goto(browser.office.url("/console/matrix?agent=nobody"))
    expect(page.get_by_role("alert")).to_contain_text("No agent of this name has a policy.")


def test_a_server_that_goes_down_and_comes_back_is_seen_at_once(browser: Browser, office: Office) -> None:
    page = browser.signed_in(path="/console/upstreams")
    server = page.locator("#s-shop")
    expect(server).to_contain_text("up")
    edge = "e => getComputedStyle(e).borderLeftColor"
    well = server.evaluate(edge)
    server.locator("summary").click()
    office.shop.kill()
    expect(server.locator(".state-down")).to_be_visible(timeout=20_000)
    assert server.evaluate(edge) != well
    expect(server).to_contain_text("Last failure")
    expect(server.get_by_text("hidden", exact=True)).to_be_visible()  # what was opened stays open
    office.shop.start()
    expect(server.locator(".state-up")).to_be_visible(timeout=20_000)
    expect(server).to_contain_text(re.compile(r"Reconnected\s*[1-9]"))
    wait_until(office.gateway.ready, 20)


def test_pages_can_be_read_on_a_phone_and_in_the_dark(browser: Browser, happened: Happened) -> None:
    office = browser.office
    paths = [
        "/console/audit",
        "/console/audit/4",
        run_of("support"),
        "/console/matrix",
        "/console/matrix?agent=support",
    ]
    phone = browser.signed_in(viewport=PHONE, has_touch=True, is_mobile=True, color_scheme="dark")
    for path in [*paths, "/console/upstreams"]:
        phone.goto(office.url(path))
        assert phone.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        assert phone.evaluate(CONTRAST) == [], path
        current = phone.locator("nav [aria-current]")
        assert current.evaluate("e => e.getBoundingClientRect().right") <= PHONE["width"], path
    page = browser.signed_in()
    for path in paths:
        page.goto(office.url(path))
        assert page.evaluate(CONTRAST) == [], path


def test_a_long_name_of_a_run_is_cut_nowhere(browser: Browser, office: Office) -> None:
    ask(office, "clerk", "shop__note", {"text": "x"}, run="r" * 200)
    phone = browser.signed_in(path="/console/audit?run=" + "r" * 200, viewport=PHONE)
    expect(phone.locator(".event").first).to_be_visible()
    beyond = "of => [...of[0].querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth).length"
    assert phone.locator(".tickets").evaluate_all(beyond) == 0


def test_rows_are_reached_by_keys(browser: Browser, happened: Happened) -> None:
    page = browser.signed_in(path="/console/audit")
    page.keyboard.press("j")
    page.keyboard.press("j")
    target = page.locator(".event a").nth(1).get_attribute("href")
    page.keyboard.press("Enter")
    expect(page).to_have_url(browser.office.url(str(target)))
    page.keyboard.press("u")
    expect(page).to_have_url(browser.office.url("/console/audit"))


def test_signing_in_leads_to_the_page_that_was_asked_for(browser: Browser, happened: Happened) -> None:
    page = browser.page()
    page.goto(browser.office.url(run_of("support")))
    page.get_by_label("Your reviewer's token").fill(browser.office.reviewer("anna"))
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Run ../")

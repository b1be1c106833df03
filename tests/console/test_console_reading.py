"""The console can be read on a phone, used with a keyboard alone, and by those who hear it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from console_browser import PHONE, Browser
from console_parts import REFUND, Office, approval, call
from playwright.sync_api import Page, expect

LONG = "w" * 300
CONTRAST = """() => {
  const paint = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (color) => { paint.clearRect(0, 0, 1, 1); paint.fillStyle = color; paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data]; };
  const over = (top, below) => top.map((part, i) => i === 3 ? 255 : below[i] + (part - below[i]) * top[3] / 255);
  const behind = (element) => { const colors = [];
    for (let each = element; each; each = each.parentElement) colors.push(rgba(getComputedStyle(each).backgroundColor));
    return colors.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 255]); };
  const light = (color) => color.slice(0, 3).map((part) => part / 255)
    .map((part) => part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [.2126, .7152, .0722][i], 0);
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".quiet, .skip")) continue;
    const below = behind(element), text = over(rgba(getComputedStyle(element).color), below);
    const [a, b] = [light(text), light(below)].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.push(`${element.className || element.tagName}: ${element.textContent}`);
  }
  return poor;
}"""


@pytest.fixture(scope="module")
def tickets(office: Office) -> dict[str, str]:
    """Tickets of all looks: waiting, long, edited, rejected, two approvals."""
    long: dict[str, Any] = {LONG: LONG, "list": [LONG, {"deep": [1, 2, {"x": LONG}]}], "lines": f"{LONG}\n" * 3}
    edited, rejected = office.seed(confidence=0.3, statement="Why not."), office.seed()
    office.decide(edited, "ben", arguments={"amount": 1, "text": "less", "more": True}, words="Half of it.")
    office.decide(rejected, "ben", "reject", words=LONG)
    give_up = partial(office.state.approvals.give_up, agent="support", run="run-9", server="shop", tool="void")
    office.state.store.run(partial(give_up, call="d" * 32, why=LONG, shown={"charge": LONG}))
    asking = call({"reason": "Help."}, server="toolgate", tool="escalate", bound={})
    office.state.store.run(partial(office.state.approvals.ask, call=asking, reason=LONG))
    return {
        "waiting": office.seed(statement="It never came."),
        "long": office.seed(long, statement=LONG, run=LONG[:200], gate=approval(words=LONG, approvers=2)),
        "edited": edited,
        "rejected": rejected,
    }


def paths(tickets: dict[str, str]) -> list[str]:
    pages = ["", "/history", "/statistics", "/unknown", *(f"/tickets/{ticket}" for ticket in tickets.values())]
    return [f"/console{page}" for page in pages]


def all_open(page: Page) -> None:
    """Open everything that can be opened, one by one as they close each other."""
    page.evaluate(
        "for (const each of document.querySelectorAll('details')) { each.removeAttribute('name'); each.open = true; }"
    )


def test_no_page_is_wider_than_a_phone(browser: Browser, office: Office, tickets: dict[str, str]) -> None:
    page = browser.signed_in(viewport=PHONE, has_touch=True, is_mobile=True)
    for path in paths(tickets):
        page.goto(office.url(path))
        all_open(page)
        wide = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide == [390, 390], path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(
    browser: Browser, office: Office, tickets: dict[str, str], scheme: str
) -> None:
    page = browser.signed_in(color_scheme=scheme)
    for path in [*paths(tickets), "/console/login"]:
        page.goto(office.url(path))
        all_open(page)
        assert page.evaluate(CONTRAST) == [], path


def test_every_field_has_a_label_and_every_page_one_heading(
    browser: Browser, office: Office, tickets: dict[str, str]
) -> None:
    page = browser.signed_in()
    for path in [*paths(tickets), "/console/login"]:
        page.goto(office.url(path))
        all_open(page)
        assert page.locator("h1").count() == 1, path
        assert page.locator("main").count() == 1, path
        bare = (
            "[...document.querySelectorAll('input:not([type=hidden]), textarea')].filter((each) => !each.labels.length)"
        )
        assert page.evaluate(f"{bare}.length") == 0, path
        doubled = "(ids => ids.length - new Set(ids).size)([...document.querySelectorAll('[id]')].map(each => each.id))"
        assert page.evaluate(doubled) == 0, path
    page.goto(office.url("/console"))
    expect(page.locator("#said")).to_have_attribute("aria-live", "polite")


def test_a_keyboard_is_enough(browser: Browser, office: Office) -> None:
    last = office.seed({**REFUND, "amount": 111}, gate=approval(expires=3001.0))
    first = office.seed({**REFUND, "amount": 222}, gate=approval(expires=3000.0))
    page = browser.signed_in()
    press = page.keyboard.press

    def pick(ticket: str) -> None:
        rows: list[str] = page.locator(".row").evaluate_all("rows => rows.map(row => row.id)")
        for _ in rows[: rows.index(f"t-{ticket}") + 1]:
            press("j")
        expect(page.locator(f"#t-{ticket}")).to_be_focused()

    pick(first)
    press("j")
    expect(page.locator(f"#t-{last}")).to_be_focused()
    press("k")
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    press("e")
    expect(page.locator("#edit").get_by_label("amount")).to_be_focused()
    press("Escape")
    press("a")
    expect(page.get_by_role("button", name="Approve and let it run once")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    press("Enter")
    expect(page.locator("#decide")).to_contain_text("anna approved")
    press("u")
    expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for a decision")
    pick(last)
    press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("support wants to call shop/pay")
    press("r")
    page.keyboard.type("Not today? a j k")
    press("Tab")
    press("Enter")
    expect(page.locator("#decide")).to_contain_text("Not today? a j k")
    assert (office.ticket(first).state, office.ticket(last).state) == ("approved", "rejected")


def test_the_keys_are_listed(browser: Browser, office: Office) -> None:
    page = browser.signed_in()
    for _ in range(2):
        page.keyboard.press("?")
        expect(page.get_by_role("dialog")).to_contain_text("go to approve")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#keys")).not_to_be_visible()

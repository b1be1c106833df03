"""Nobody gets in, or gets anything done, who should not; and nothing that an agent writes does anything in a page."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import pytest
from console_browser import Browser
from console_parts import Office, approval, call
from playwright.sync_api import Page, expect
from recorder import wait_until

ATTACKS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'--><svg/onload=alert(1)>",
    "</textarea><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
)


def sign_in(page: Page, office: Office, token: str, path: str = "/console") -> None:
    page.goto(office.url(path))
    page.get_by_label("Your reviewer's token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def send(url: str, form: Mapping[str, str] | None = None, **headers: str) -> tuple[int, str]:
    """Status and text of an answer to a request made by hand; redirects are not followed."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *rest: object) -> None:
        return None


def cookie_of(page: Page) -> str:
    (cookie,) = page.context.cookies()
    return f"{cookie['name']}={cookie['value']}"


def test_signing_in_and_out(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page = browser.page()
    sign_in(page, office, office.reviewer("anna"), f"/console/tickets/{ticket}")
    expect(page).to_have_url(office.url(f"/console/tickets/{ticket}"))
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/console")
    held = cookie_of(page)
    assert send(office.url("/console"), Cookie=held)[0] == 200
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(office.url("/console/login"))
    assert page.context.cookies() == []
    assert send(office.url("/console"), Cookie=held)[0] == 303


def test_the_cookie_is_for_tls_only_where_there_is_tls(office: Office) -> None:
    host = f"127.0.0.1:{office.gateway.port}"
    for origin, secure in ((f"https://{host}", True), (f"http://{host}", False)):
        form = urllib.parse.urlencode({"token": office.reviewer("anna")}).encode()
        request = urllib.request.Request(office.url("/console/login"), form, {"Origin": origin})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.build_opener(Stay).open(request, timeout=10)
        with caught.value as answer:
            assert ("secure" in answer.headers["Set-Cookie"].lower()) is secure


def test_only_a_reviewers_token_opens_the_console(browser: Browser, office: Office) -> None:
    page = browser.page()
    namesake = office.state.reviewers.create("support", expires=None)[0]
    for token in (office.gateway.token("support"), namesake, "tr_nonsense"):
        sign_in(page, office, token)
        expect(page.get_by_role("alert")).to_contain_text("This reviewer's token is not valid")
        assert page.context.cookies() == []


def test_the_way_back_after_signing_in_stays_in_the_console(office: Office) -> None:
    for target in ("https://evil.example/", "//evil.example", "/console/../mcp", "/console\\evil", "/mcp"):
        _, text = send(office.url(f"/console/login?to={urllib.parse.quote(target)}"))
        assert 'name="to" value="/console"' in text


def test_a_form_needs_the_session_it_was_made_for(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page, other = browser.signed_in("anna"), browser.signed_in("ben", f"/console/tickets/{ticket}")
    foreign = other.locator("#approve input[name=form]").input_value()
    seen = other.locator("#approve input[name=seen]").input_value()
    address, own = office.url(f"/console/tickets/{ticket}"), cookie_of(page)
    for form in ("", foreign, "x"):
        sent = {"deed": "approve", "words": "", "seen": seen, "form": form}
        status, text = send(address, sent, Cookie=own)
        assert (status, "not of your session" in text) == (403, True)
    sent["form"] = page.locator("form.who input[name=form]").input_value()
    assert send(address, sent, Cookie=own, Origin="https://evil.example")[0] == 403
    assert send(address, sent, Cookie=own, Origin="http://localhost:1")[0] == 403
    assert send(address, sent, Cookie="toolgate-console=x")[0] == 401
    assert send(address, sent, Cookie=own, Host="evil.example")[0] == 421
    assert office.ticket(ticket).state == "pending"
    assert send(address, sent, Cookie=own)[0] == 303
    assert office.ticket(ticket).state == "approved"


def test_every_page_has_the_headers_of_a_safe_one(browser: Browser, office: Office) -> None:
    page = browser.signed_in()
    for path in ("", "/history", "/statistics", "/unknown", "/login", "/nowhere", "/static/console.js", "/waiting"):
        answer = page.request.get(office.url(f"/console{path}"))
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == ("no-store" if "static" not in path else "public, max-age=86400")


def test_even_what_got_into_a_page_would_not_run_or_load(browser: Browser, office: Office) -> None:
    page = browser.signed_in()
    put = "(made) => document.body.append(Object.assign(document.createElement(made.name), made.has))"
    page.evaluate(put, {"name": "script", "has": {"textContent": "alert(1)"}})
    page.evaluate(put, {"name": "img", "has": {"src": "https://evil.example/x"}})
    wait_until(lambda: (page.wait_for_timeout(20), len(browser.wrong) == 2)[1], 5)
    assert all("Content Security Policy" in each for each in browser.wrong)
    browser.wrong.clear()


def test_what_an_agent_writes_is_text_and_nothing_else(browser: Browser, office: Office) -> None:
    given = {f"n{number} {attack}": attack for number, attack in enumerate(ATTACKS)}
    all_of_it = " ".join(ATTACKS)
    made = call(
        {**given, "nested": {all_of_it: [all_of_it]}},
        tool=ATTACKS[0],
        rule=ATTACKS[1],
        statement=all_of_it,
        run=ATTACKS[3],
        bound={ATTACKS[4]: ATTACKS[4]},
    )
    gate = approval(words=all_of_it, approvers=2)
    ticket = office.state.store.run(partial(office.state.approvals.open, call=made, gate=gate)).id
    page = browser.signed_in("anna")
    page.locator(f"#t-{ticket}").click()
    expect(page.locator("blockquote").first).to_have_text(all_of_it)
    page.locator("#edit summary").click()
    for name, attack in given.items():
        expect(page.locator("#edit").get_by_label(name)).to_have_value(attack)
    page.locator("#reject summary").click()
    page.locator("#words-reject").fill(all_of_it)
    page.get_by_role("button", name="Reject").click()
    expect(page.locator("#decide")).to_contain_text("anna rejected")
    expect(page.locator("#decide blockquote")).to_have_text(all_of_it)
    assert not page.locator("main script, main img, main svg, main a[href^=javascript]").count()
    page.goto(office.url("/console/history"))
    expect(page.locator(f"#t-{ticket}")).to_contain_text(ATTACKS[0])


def test_what_cannot_be_seen_is_shown(browser: Browser, office: Office) -> None:
    hidden = "\u202egnp.exe\u2066 \u200b\ufeff\u3164"
    ticket = office.seed({"file": hidden}, statement=hidden)
    page = browser.signed_in("anna", f"/console/tickets/{ticket}")
    shown = "U+202Egnp.exeU+2066 U+200BU+FEFFU+3164"
    expect(page.locator("blockquote").first).to_have_text(shown)
    expect(page.locator(".argument pre").first).to_have_text(shown)
    page.locator("#edit summary").click()
    expect(page.locator("#edit").get_by_label("file")).to_have_value('"\\u202egnp.exe\\u2066 \\u200b\\ufeff\\u3164"')


def test_it_all_works_without_javascript(browser: Browser, office: Office) -> None:
    ticket = office.seed()
    page = browser.page(java_script_enabled=False)
    sign_in(page, office, office.reviewer("anna"))
    page.locator(f"#t-{ticket}").click()
    page.locator("#edit summary").click()
    page.locator("#edit").get_by_label("amount").fill("10")
    page.get_by_role("button", name="Approve as edited").click()
    expect(page.locator("#decide")).to_contain_text("anna approved with edited arguments")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to the console")


@contextmanager
def site(text: str) -> Iterator[str]:
    """Another site, with one page; its address. (127.0.0.1 and localhost are two sites.)"""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *rest: object) -> None:
            return None

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://localhost:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_link_on_another_site_leads_to_the_ticket_and_a_form_there_does_nothing(
    browser: Browser, office: Office
) -> None:
    ticket = office.seed()
    address = office.url(f"/console/tickets/{ticket}")
    form = f'<form method=post action="{address}"><input name=deed value=approve><button>Win</button></form>'
    page = browser.signed_in()
    with site(f'<a href="{address}">A ticket</a>{form}') as elsewhere:
        page.goto(elsewhere)
        page.get_by_text("Win").click()
        expect(page.get_by_role("alert")).to_be_visible()
        page.goto(elsewhere)
        page.get_by_text("A ticket").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("support wants to call shop/pay")
    assert office.ticket(ticket).state == "pending"

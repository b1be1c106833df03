"""A real browser that looks at the console, and notes everything that must not happen in a page."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import playwright.sync_api as pw
import pytest
from console_parts import Office

from gateway.admin.sessions import COOKIE, Sessions

CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}
_HARMLESS = ("Failed to load resource", "[DOM]")
"""What Chromium says of answers that are errors on purpose, and of forms."""


@dataclass
class Browser:
    """`wrong` is what went wrong in pages: script errors, violations of the content security policy, dialogs."""

    office: Office
    chromium: pw.Browser
    wrong: list[str] = field(default_factory=list)
    _contexts: list[pw.BrowserContext] = field(default_factory=list)

    def page(self, **options: Any) -> pw.Page:
        """An empty page of a browser that has no cookies yet."""
        context = self.chromium.new_context(**{"viewport": DESKTOP, **options})
        context.set_default_timeout(10_000)
        self._contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("console", self._said)
        return page

    def signed_in(self, name: str = "anna", path: str = "/console", **options: Any) -> pw.Page:
        """A page at `path` as this reviewer sees it."""
        page = self.page(**options)
        state = self.office.state
        session = Sessions(state.store, state.reviewers).open(self.office.reviewer(name))
        page.context.add_cookies([{"name": COOKIE, "value": session, "url": self.office.url("/console")}])
        page.goto(self.office.url(path))
        return page

    def close_pages(self) -> None:
        while self._contexts:
            self._contexts.pop().close()

    def _dialog(self, dialog: pw.Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _said(self, message: pw.ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_HARMLESS):
            self.wrong.append(message.text)


@contextmanager
def chromium(office: Office) -> Iterator[Browser]:
    """Skips where there is no browser; fails there when this is continuous integration."""
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is not installed")
        pytest.skip(f"the console is tested with {CHROMIUM}, which is not installed")
    with pw.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield Browser(office, started)
        finally:
            started.close()

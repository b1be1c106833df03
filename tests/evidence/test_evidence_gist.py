"""What a line about an event says, and which events are asked for by the name of a tool."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.telling import gist
from gateway.trail import Event, target


def event(kind: str, reason: str | None = None, **data: Any) -> Event:
    return Event(1, 0.0, kind, "", "", "", "", None, reason, data, "main", 1, "0" * 64)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (event("outcome", outcome="ok", spends="committed", preview='{\n  "sku": "L-1"\n}'), 'ok { "sku": "L-1" }'),
        (event("outcome", "timeout", outcome="unknown", spends="kept"), "timeout unknown kept"),
        (event("mode", read_only=False, by="kim"), "read_only false kim"),
        (event("checkpoint", what="written", n=3, digest="a" * 64), "written n 3"),
        (event("policy", digest="ab" * 32), "abababababab"),
        (event("refusal", "denied", detail="x" * 200), "denied " + "x" * 72 + "…"),
        (event("unheard of"), ""),
    ],
)
def test_an_event_is_told_on_a_line(told: Event, line: str) -> None:
    assert gist(told) == line


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", (None, None)),
        ("note", (None, "note")),
        ("shop/note", ("shop", "note")),
        ("shop/", ("shop", None)),
        ("shop/file:///a/b", ("shop", "file:///a/b")),
        ("file:///a/b", (None, "file:///a/b")),
        ("/note", (None, "note")),
    ],
)
def test_a_tool_is_named_with_its_server_or_without(text: str, found: tuple[str | None, str | None]) -> None:
    assert target(text) == found

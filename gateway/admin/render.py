"""Pages as text: templates filled with values that are not to be trusted, everything escaped, nothing hidden."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gateway import telling
from gateway.times import exactly, lasting, moment
from gateway.trail import Event

_FOLDER = Path(__file__).parent
_BLANK = (
    "\u00a0\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2000-\u200a\u202f\u205f\u2800\u3000\u3164\ufe00-\ufe0f\uffa0"
    "\U00016fe4\U0001d159\U000e0100-\U000e01ef"
)
"""Characters that count as printable and show nothing."""
_UNSEEN = re.compile(f"[{_BLANK}]|[^{_BLANK}\\n\\t\\x20-\\x7e]")
_EVENTS = (
    *(
        "intent",
        "outcome",
        "refusal",
        "guard",
        "settled",
        "ticket",
        "decision",
        "run",
        "undo",
        "policy",
        "reload",
        "mode",
    ),
    *("pin", "token", "reviewer", "login", "start", "stop", "gap", "notice", "checkpoint", "key", "archived"),
)
_KINDS = {
    "approval": "Approval",
    "confidence": "Low confidence",
    "escalation": "Escalation",
    "request": "Request",
    "undo": "Cannot undo",
}


class Pages:
    """The templates, and the static files by name with their type."""

    def __init__(self) -> None:
        self.static = {path.name: path.read_bytes() for path in sorted((_FOLDER / "static").iterdir())}
        version = hashlib.sha256(b"".join(self.static.values())).hexdigest()[:12]
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "seen": seen,
            "pretty": pretty,
            "gist": gist,
            "kind_of_value": kind_of_value,
            "summary": summary,
            "moment": moment,
            "exactly": exactly,
            "clock": clock,
            "span": lasting,
            "segment": lambda text: quote(text, safe=""),
        }
        self._environment.globals |= {"version": version, "kinds": _KINDS, "event_kinds": _EVENTS}

    def __call__(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(**values)


def seen(text: object) -> Markup:
    """Text with each character that would show nothing, or change what others show, as its escape."""
    return Markup("").join(_piece(part) for part in re.split(f"({_UNSEEN.pattern})", str(text)) if part)


def _piece(text: str) -> Markup:
    if len(text) == 1 and _UNSEEN.match(text) and (not text.isprintable() or re.match(f"[{_BLANK}]", text)):
        return Markup('<span class="unseen" title="a character that cannot be seen">U+{:04X}</span>').format(ord(text))
    return escape(text)


def pretty(value: Any) -> str:
    """A value to be read: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def kind_of_value(value: Any) -> str:
    """JSON's name for what kind of value it is."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | float) else "list" if isinstance(value, list) else "object"


def summary(arguments: Mapping[str, Any]) -> str:
    """Arguments on one line, cut where it gets long."""
    shown = (f"{name}: {_short(value)}" for name, value in list(arguments.items())[:6])
    return ", ".join(shown) + (", ..." if len(arguments) > 6 else "")


def gist(event: Event) -> str:
    """What an event says besides who and what, on one line."""
    data = event.data
    if event.kind == "outcome":
        return str(data["outcome"]) + ("" if data.get("ms") is None else f" after {data['ms']:.0f} ms")
    if isinstance(arguments := data.get("arguments"), dict) and arguments:
        return summary(arguments)
    return telling.gist(event)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")

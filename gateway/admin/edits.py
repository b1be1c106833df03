"""Other arguments than the agent's, from a form: what was left alone stays exactly what the agent gave."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.approvals import Ticket
from gateway.approvals.edits import Unfit, merged
from gateway.approvals.shown import current
from gateway.strict import parse


@dataclass(frozen=True, slots=True)
class Field:
    """One argument in the form. `plain`: its text is the value; else the text is JSON."""

    name: str
    value: Any
    text: str
    plain: bool

    @property
    def key(self) -> str:
        """What a browser calls it in a form: line ends of all kinds, which agents may put into a name, become CRLF."""
        return re.sub(r"\r\n|\r|\n", "\r\n", f"argument.{self.name}")


def fields(ticket: Ticket) -> list[Field]:
    """The arguments that a reviewer may change: neither filled in by the gateway nor secret."""
    fixed = ticket.secrets | ticket.bound.keys()
    return [_field(name, value) for name, value in current(ticket).items() if name not in fixed]


def _field(name: str, value: Any) -> Field:
    # A form would change what cannot be typed; as JSON it is all visible.
    if isinstance(value, str) and all(character.isprintable() or character in "\n\t" for character in value):
        return Field(name, value, value, plain=True)
    return Field(name, value, json.dumps(value, indent=2 if isinstance(value, dict | list) else None), plain=False)


def from_form(ticket: Ticket, texts: Mapping[str, str]) -> dict[str, Any] | None:
    """The edit in a form that has every field of the ticket, by its key; None when nothing differs. Raises Unfit."""
    shown = current(ticket)
    edit = dict(shown)
    for field in fields(ticket):
        if field.key not in texts:  # taken as left alone, a change that got lost would be an approval without it
            raise Unfit(f"The form came without {field.name}: open the page again.")
        text = texts[field.key].replace("\r\n", "\n")
        if text == field.text:
            continue
        try:
            edit[field.name] = text if field.plain else parse(text.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            raise Unfit(f"{field.name} is to be JSON, and {error}.") from None
    return merged(ticket, edit)

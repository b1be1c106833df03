"""Other arguments than the agent's, from a form or a body: what was left alone stays exactly what the agent gave."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.admin.shape import EDITABLE, current, same
from gateway.approvals import Ticket
from gateway.strict import parse


class Unfit(Exception):
    """An edit that cannot be taken; the text says which argument and why."""


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


def merged(ticket: Ticket, edit: Mapping[str, Any]) -> dict[str, Any] | None:
    """`edit`, which is in terms of what people see, as the arguments to put in place of the agent's.

    None when it changes nothing. Raises Unfit where it touches what is filled in or secret.
    """
    if ticket.kind not in EDITABLE:
        raise Unfit("This ticket has no arguments to edit.")
    shown, stands = current(ticket), ticket.sent
    fixed = ticket.secrets | ticket.bound.keys()
    for name in fixed:
        if name in edit and not same(edit[name], shown.get(name)):
            what = "filled in by the gateway" if name in ticket.bound else "secret"
            raise Unfit(f"{name} is {what}, so it stays as it is: leave it out of the edit.")
    result = {name: stands[name] for name in ticket.secrets & stands.keys()}
    for name, value in edit.items():
        if name not in fixed:
            result[name] = stands[name] if name in stands and same(value, shown.get(name)) else value
    return None if same(result, dict(stands)) else result

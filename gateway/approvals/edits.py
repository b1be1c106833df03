"""Other arguments than the agent's, in terms of what people see: what was left alone stays exactly what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.approvals.shown import current
from gateway.approvals.ticket import OF_CALLS, Ticket
from gateway.strict import same


class Unfit(Exception):
    """An edit that cannot be taken; the text says which argument and why."""


def merged(ticket: Ticket, edit: Mapping[str, Any]) -> dict[str, Any] | None:
    """`edit`, which is in terms of what people see, as the arguments to put in place of the agent's.

    None when it changes nothing. Raises Unfit where it touches what is filled in or secret.
    """
    if ticket.kind not in OF_CALLS:
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

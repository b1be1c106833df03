"""What a caller is told of how its call was approved: with other arguments, or with words."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.approvals import Ticket
from gateway.approvals.shown import arguments
from gateway.call import Result

TICKET = "toolgate/ticket"


def noted(result: Result, ticket: Ticket) -> Result:
    """The answer to a call that people decided on, its ticket for programs, and what its reviewers have to say, as a
    text of its own behind it.

    Clients that show a model structured content show it nothing else: where other arguments ran than were asked for,
    there is text only.
    """
    edited = ticket.edited is not None
    told = [_edited(ticket)] if edited else []
    told += [f"{decision.reviewer} says: {decision.words}" for decision in ticket.decisions if decision.words]
    result = {**result, "_meta": {**(result.get("_meta") or {}), TICKET: ticket.id}}
    if not told:
        return result
    content = list(result.get("content") or [])
    if edited and not content and "structuredContent" in result:
        content = [_text(orjson.dumps(result["structuredContent"]).decode())]
    kept = {key: value for key, value in result.items() if not (edited and key == "structuredContent")}
    return {**kept, "content": [*content, _text("From the people who approved this call: " + " ".join(told))]}


def _edited(ticket: Ticket) -> str:
    """Where what ran differs from what was asked for, as people may see it."""
    changed = [each for each in arguments(ticket) if each.change]
    before = {each.name: each.before for each in changed if each.change != "added"}
    after = {each.name: each.value for each in changed if each.change != "removed"}
    return f"it ran with {orjson.dumps(after).decode()} instead of {orjson.dumps(before).decode()}."


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}

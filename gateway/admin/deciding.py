"""One decision, whoever brings it: console and API decide alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from gateway.admin.entrance import Stopped
from gateway.approvals import Approvals, Ticket, Verdict
from gateway.approvals.edits import Unfit
from gateway.approvals.shown import content
from gateway.approvals.ticket import MAX_WORDS, Undecidable
from gateway.aside import aside
from gateway.catalog import Catalog
from gateway.policy import Policy
from gateway.reviewers import Reviewer
from gateway.store import Store

_STATUS = {"absent": 404, "decided": 409, "expired": 409, "edited": 409, "requester": 403, "tier": 403, "twice": 409}

Edit = Callable[[Ticket], dict[str, Any] | None]
"""From the ticket to the arguments in place of the agent's; None: as they stand. Raises Unfit."""


@dataclass(frozen=True, slots=True)
class Deciding:
    """Takes decisions to the tickets. What cannot be decided raises Stopped, with a status and the reason."""

    store: Store
    approvals: Approvals
    catalog: Catalog
    policy: Callable[[], Policy]

    async def ticket(self, identity: str) -> Ticket:
        ticket = await aside(partial(self.approvals.get, identity))
        if ticket is None:
            raise Stopped(404, "absent", "There is no ticket with this id.")
        return ticket

    async def decide(
        self, identity: str, reviewer: Reviewer, verdict: Verdict, words: str, seen: str | None, edit: Edit | None
    ) -> Ticket:
        """`seen`: the digest of what the reviewer was shown, so that nobody approves what they never saw."""
        if len(words) > MAX_WORDS:
            raise Stopped(422, "words", f"The words are longer than {MAX_WORDS} characters: shorten them.")
        if verdict == "reject" and not words.strip():
            raise Stopped(422, "words", "Say why in the words: the agent reads them and goes on from there.")
        arguments = None
        if edit is not None:
            ticket = await self.ticket(identity)
            seen = seen or content(ticket)
            arguments = self._edited(ticket, edit)
        shown = [seen] if verdict == "approve" and seen is not None else []
        said = (identity, reviewer.name, verdict, words.strip(), arguments, shown)
        try:
            return await self.store.transact(lambda connection: self.approvals.decide(connection, *said))
        except Undecidable as error:
            raise Stopped(_STATUS.get(error.reason, 422), error.reason, _sentence(str(error))) from None

    def _edited(self, ticket: Ticket, edit: Edit) -> dict[str, Any] | None:
        """An edit that the tool and the policy would take. They are asked again when the call runs."""
        try:
            arguments = edit(ticket)
        except Unfit as error:
            raise Stopped(422, "arguments", str(error)) from None
        if arguments is None:
            return None
        decision = self.policy().decide(ticket.agent, ticket.server, ticket.tool, "call", arguments)
        if not decision.allowed:
            raise Stopped(422, "arguments", f"The policy of {ticket.agent} refuses these arguments: {decision.text}")
        tool = self.catalog.tool(ticket.server, ticket.tool)
        problem = None if tool is None else tool.check({**arguments, **ticket.bound})
        if problem is not None:
            raise Stopped(422, "arguments", f"The tool does not take these arguments: {problem}.")
        return arguments


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."

"""What the pages of the console show, read from the store; all of it blocks, so it is done beside the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import HTMLResponse, Response

from gateway.admin.edits import fields
from gateway.admin.render import Pages
from gateway.admin.sessions import Session
from gateway.admin.statistics import DAYS, statistics
from gateway.approvals import Approvals, Ticket
from gateway.approvals.shown import approved_by, arguments, content, current, may_decide
from gateway.approvals.ticket import OF_CALLS
from gateway.audit import Audit
from gateway.ledger import Ledger

_DECIDED = ("approved", "consumed", "rejected", "expired")
_HISTORY = 100
_LAST_CALLS = 12


@dataclass(frozen=True, slots=True)
class Views:
    """Each method is a page, or a part of one, for a reviewer who is signed in."""

    pages: Pages
    approvals: Approvals
    ledger: Ledger
    audit: Audit
    clock: Callable[[], float] = time.time

    def waiting(self, session: Session, part: bool = False) -> Response:
        rows = [self._row(ticket, session) for ticket in self._pending()]
        rows.sort(key=lambda row: (row["barred"] is not None, row["ticket"].expires))
        return self._page("waiting_rows.html" if part else "waiting.html", session, "waiting", rows=rows)

    def ticket(
        self, session: Session, ticket: Ticket, problem: str | None = None, typed: dict[str, str] | None = None
    ) -> Response:
        """`problem`: why what the reviewer sent, `typed`, was not done."""
        return self._page(
            "ticket.html",
            session,
            "waiting" if ticket.state == "pending" else "history",
            status=200 if problem is None else 409 if ticket.state != "pending" else 422,
            ticket=ticket,
            arguments=arguments(ticket),
            fields=fields(ticket) if ticket.kind in OF_CALLS else [],
            seen=content(ticket),
            approved=approved_by(ticket),
            barred=may_decide(ticket, session.reviewer.name),
            last_calls=self.audit.last_calls(ticket.agent, _LAST_CALLS),
            problem=problem,
            typed=typed or {},
        )

    def history(self, session: Session) -> Response:
        tickets = self.approvals.find(states=_DECIDED, limit=_HISTORY)
        return self._page("history.html", session, "history", rows=[self._row(each, session) for each in tickets])

    def statistics(self, session: Session) -> Response:
        shares = statistics(self.approvals, self.clock())
        return self._page("statistics.html", session, "statistics", shares=shares, days=DAYS)

    def unknown(self, session: Session, problem: str | None = None) -> Response:
        rows, stuck = self.ledger.unknown(), [each for each in self._pending() if each.kind == "undo"]
        status = 200 if problem is None else 409
        return self._page("unknown.html", session, "unknown", status=status, rows=rows, stuck=stuck, problem=problem)

    def _pending(self) -> list[Ticket]:
        return self.approvals.find(states=("pending",), limit=1000, soonest=True)

    def _row(self, ticket: Ticket, session: Session) -> dict[str, Any]:
        return {
            "ticket": ticket,
            "arguments": current(ticket),
            "approved": approved_by(ticket),
            "barred": may_decide(ticket, session.reviewer.name),
        }

    def _page(self, template: str, session: Session, here: str, status: int = 200, **values: Any) -> Response:
        text = self.pages(template, session=session, here=here, now=self.clock(), **values)
        return HTMLResponse(text, status)

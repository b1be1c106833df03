"""Calls that wait for people: tickets, who may decide on them, and who waits for the decision."""

from __future__ import annotations

from gateway.approvals.desk import Approvals
from gateway.approvals.history import Share
from gateway.approvals.ticket import MASK, Decision, Ticket, Undecidable, Verdict

__all__ = ["MASK", "Approvals", "Decision", "Share", "Ticket", "Undecidable", "Verdict"]

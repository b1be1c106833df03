"""Calls that wait for people: tickets, who may decide on them, and who waits for the decision."""

from __future__ import annotations

from gateway.approvals.desk import Approvals
from gateway.approvals.ticket import Decision, Ticket, Verdict

__all__ = ["Approvals", "Decision", "Ticket", "Verdict"]

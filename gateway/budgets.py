"""Limits and budgets in the store: what a call takes, in which window, and how it is given back.

Windows begin at full seconds, minutes, hours and days of UTC, so that a refusal can say when it is over.
"""

from __future__ import annotations

from gateway.call import Call
from gateway.terms import Spend


def spends(call: Call, now: float) -> tuple[Spend, ...]:
    """What this call would take. Raises InvalidArguments, or BudgetExceeded for a currency no budget is for."""
    raise NotImplementedError

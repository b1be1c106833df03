"""Gate history as the API and the console tell it: of the last 30 days, by tool and band of confidence."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.approvals import Approvals

DAYS = 30


def statistics(approvals: Approvals, now: float) -> list[dict[str, Any]]:
    """Counts of tickets by what was decided, and seconds they waited."""
    return [asdict(share) for share in approvals.history(now - DAYS * 86_400)]

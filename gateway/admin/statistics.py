"""Gate history as the API and the console tell it."""

from __future__ import annotations

from typing import Any

from gateway.approvals import Approvals


def statistics(approvals: Approvals) -> dict[str, Any]:
    return {"tools": []}

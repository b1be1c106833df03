"""What happens to the store when a call is sent and when it ended: each is one transaction, whole or not at all."""

from __future__ import annotations

from gateway.ledger.ledger import Ledger
from gateway.ledger.unsettled import Finding, Unknown

__all__ = ["Finding", "Ledger", "Unknown"]

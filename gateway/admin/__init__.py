"""What reviewers see and do over HTTP: the API under `/api`, the console under `/console`."""

from __future__ import annotations

from gateway.admin.site import Admin

__all__ = ["Admin"]

"""Gateway processes that share one PostgreSQL database: who they are, which of them are alive, and who does what."""

from __future__ import annotations

from gateway.replicas.replicas import Replicas
from gateway.replicas.roll import Replica, listed

__all__ = ["Replica", "Replicas", "listed"]

"""Gateway processes that share one PostgreSQL database: who they are, which of them are alive, and who does what."""

from __future__ import annotations

from gateway.replicas.replicas import Replicas
from gateway.replicas.roll import Replica, address_of, listed

__all__ = ["Replica", "Replicas", "address_of", "listed"]

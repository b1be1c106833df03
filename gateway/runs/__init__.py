"""Runs of agents: their bounds, what can be undone of them, and the undoing."""

from __future__ import annotations

from gateway.runs.saga import Runs

__all__ = ["Runs"]

"""Runs of agents: their bounds, what can be undone of them, and the undoing."""

from __future__ import annotations

from gateway.runs.leases import Leases
from gateway.runs.rows import Run, RunState, Step
from gateway.runs.saga import Runs

__all__ = ["Leases", "Run", "RunState", "Runs", "Step"]

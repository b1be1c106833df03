"""Scripted models: the Messages API served on loopback by a function instead of a model."""

from __future__ import annotations

from agents.scripted.conversation import Script
from agents.scripted.order import order
from agents.scripted.overreach import overreach

SCRIPTS: dict[str, Script] = {"order": order, "overreach": overreach}
"""What `--model scripted:NAME` can name."""

__all__ = ["SCRIPTS", "Script"]

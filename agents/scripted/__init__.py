"""Scripted models: the Messages API served on loopback by a function instead of a model."""

from __future__ import annotations

from agents.scripted.conversation import Script
from agents.scripted.desk import desk
from agents.scripted.order import hanging_order, order
from agents.scripted.overreach import overreach
from agents.scripted.refund import refund

SCRIPTS: dict[str, Script] = {
    "desk": desk,
    "hanging-order": hanging_order,
    "order": order,
    "overreach": overreach,
    "refund": refund,
}
"""What `--model scripted:NAME` can name."""

__all__ = ["SCRIPTS", "Script"]

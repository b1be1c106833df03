"""Amounts of money, in the smallest unit of their currency: cents, pence, yen."""

from __future__ import annotations

from typing import Any

MOST = 10**15
"""Units: below where doubles, which some servers read into, lose integers."""


def check_money(value: Any) -> Any:
    """An integer from 0 to MOST. Raises ValueError."""
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(f"must be a whole number of minor units (cents) from 0 to {MOST}, not a fraction or a string")
    return value

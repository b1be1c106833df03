"""What a request costs, by a dated price list. A price that is not known is None, never 0."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

PRICE_FILE = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, slots=True)
class Rates:
    """US dollars per million tokens."""

    input: float
    output: float
    cache_write: float
    cache_write_1h: float
    cache_read: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The rates of one model from one day on; `long` are those of a request above `long_above` tokens."""

    model: str
    effective_from: date
    rates: Rates
    long_above: int | None = None
    long: Rates | None = None


def load_prices(path: Path = PRICE_FILE) -> tuple[Price, ...]:
    """The price list in `path`. Raises OSError, ValueError (not TOML) or TypeError (a key that is wrong)."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["price"]
    return tuple(_price(entry) for entry in entries)


def _price(entry: dict[str, Any]) -> Price:
    tables = {key: Rates(**value) for key, value in entry.items() if isinstance(value, dict)}
    return Price(**{**entry, **tables})


def price_request(prices: tuple[Price, ...], model: str, usage: Mapping[str, Any], day: date) -> float | None:
    """US dollars for one request with this `usage` (as in a Messages API answer), or None when not known.

    A dated snapshot (`name-YYYYMMDD`) costs what its model costs. Fast mode and other service tiers have
    prices of their own, which the list does not hold.
    """
    if usage.get("speed") == "fast" or usage.get("service_tier") not in (None, "standard"):
        return None
    name = re.sub(r"-\d{8}$", "", model)
    known = [price for price in prices if price.model == name and price.effective_from <= day]
    if not known:
        return None
    price = max(known, key=lambda entry: entry.effective_from)
    written = usage.get("cache_creation_input_tokens") or 0
    written_1h = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    read = usage.get("cache_read_input_tokens") or 0
    prompt = usage["input_tokens"] + written + read
    is_long = price.long is not None and price.long_above is not None and prompt > price.long_above
    rates = price.long if is_long and price.long is not None else price.rates
    micro_dollars: float = (
        usage["input_tokens"] * rates.input
        + usage["output_tokens"] * rates.output
        + (written - written_1h) * rates.cache_write
        + written_1h * rates.cache_write_1h
        + read * rates.cache_read
    )
    return micro_dollars / 1_000_000

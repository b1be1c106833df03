"""Text: never refused for its words, only for what is hidden in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.rules.unicode import hidden


def check_text(value: Any) -> Any:
    """Check every string in `value`, at any depth, keys of objects too. Raises ValueError."""
    if isinstance(value, str):
        if not (value.isascii() and value.isprintable()) and (found := hidden(value)) is not None:
            raise ValueError(f"must be text without anything hidden in it; it has {found}")
    elif isinstance(value, dict):
        for key, inner in value.items():
            check_text(key)
            check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            check_text(inner)
    return value


def visible(check: Callable[[str], str]) -> Callable[[str], str]:
    """`check` for strings that have nothing hidden in them."""
    return lambda value: check(check_text(value))

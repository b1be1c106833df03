"""Untrusted text between two tags that it cannot close, so that a model can tell it from what it is told.

The tags carry a number drawn afresh for each result ("spotlighting", Hines et al. 2024): what an upstream wrote
before it was drawn cannot hold it.
"""

from __future__ import annotations

import html
import secrets
from collections.abc import Callable, Iterable


def nonce(texts: Iterable[str], draw: Callable[[], str] = lambda: secrets.token_hex(8)) -> str:
    """A number that stands in none of the texts."""
    texts = [*texts]
    while True:
        number = draw()
        if not any(number in text for text in texts):
            return number


def wrap(text: str, source: str, number: str) -> str:
    return f'<untrusted source="{html.escape(source)}" nonce="{number}">\n{text}\n</untrusted nonce="{number}">'

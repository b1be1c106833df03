"""Bidirectional controls (UAX 9) that are not where text of two directions needs them."""

from __future__ import annotations

import re
import unicodedata

OVERRIDES = "\u202d\u202e"

_DEEPEST = 8
"""Controls open at once; text has two or three, and more would cost time."""
_RIGHT_TO_LEFT = frozenset({"R", "AL"})
"""Bidirectional classes of letters that are written from right to left."""

_TO_LEFT = "\u202b\u2067"
_TO_RIGHT = "\u202a\u2066\u2068"
_CLOSERS = {"\u202c": "\u202a\u202b\u202d\u202e", "\u2069": "\u2066\u2067\u2068"}
_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069\n\r\x1c-\x1e\x85\u2029]")
"""Bidirectional controls, and what ends a paragraph."""
_REORDERED = "bidirectional controls, which show text in another order"


def right_to_left_letters(text: str) -> int:
    return sum(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text)


def misplaced(text: str) -> dict[int, str | None]:
    """Positions of embeddings and isolates that are out of place: what they do, or None where they do nothing."""
    open_: list[int] = []
    found: dict[int, str | None] = {}
    for match in _CONTROLS.finditer(text):
        index, char = match.start(), match[0]
        if char in _TO_LEFT or char in _TO_RIGHT or char in OVERRIDES:
            if len(open_) < _DEEPEST:
                open_.append(index)
            else:
                found[index] = _REORDERED
        elif char in _CLOSERS:
            if not open_ or text[open_[-1]] not in _CLOSERS[char]:
                found[index] = None
                continue
            start = open_.pop()
            if text[start] in _TO_LEFT and not _harmless(text[start + 1 : index]):
                found[start] = found[index] = _REORDERED
        else:  # a paragraph ends everything in it
            found.update(_unclosed(text, open_, index))
            open_.clear()
    found.update(_unclosed(text, open_, len(text)))
    return found


def _unclosed(text: str, starts: list[int], end: int) -> dict[int, str | None]:
    found: dict[int, str | None] = {}
    for start in starts:
        rest = text[start + 1 : end]
        to_left = text[start] in _TO_LEFT
        found[start] = _REORDERED if _has_right_to_left(rest) or (to_left and len(rest.split()) > 1) else None
    return found


def _harmless(enclosed: str) -> bool:
    """Whether right-to-left order is of use for this text, or changes nothing about it, as with a single word."""
    return _has_right_to_left(enclosed) or len(enclosed.split()) < 2


def _has_right_to_left(text: str) -> bool:
    return any(unicodedata.bidirectional(char) in _RIGHT_TO_LEFT for char in text)

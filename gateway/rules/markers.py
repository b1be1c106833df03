"""Words that speak to the model where only the tool should be spoken of."""

from __future__ import annotations

import re

_MARKERS = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("important tag", r"<\s*/?\s*(important|system|instructions?|secret)\s*>"),
        ("ignore instructions", r"\b(ignore|disregard|forget) (all |any |the )*(previous|prior|above|earlier)\b"),
        ("secrecy", r"\b(do not|don't|never) (tell|mention|inform|reveal|show)\b.{0,20}\b(user|anyone|human)\b"),
        ("errand", r"\bbefore (using|calling|running|invoking) (this|any|the) tool\b"),
    )
)


def markers(text: str) -> tuple[str, ...]:
    """Names of the kinds of instruction found in `text`."""
    return tuple(name for name, finder in _MARKERS if finder.search(text))

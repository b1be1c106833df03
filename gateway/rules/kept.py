"""What an outcome event keeps of a result besides its digest: nothing, how its text begins, or all. Never a secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from gateway.call import Call, Result
from gateway.rules.screen import Screen
from gateway.rules.secrets import MASK, Secrets, of_call
from gateway.rules.skeleton import plain

PREVIEW = 200
"""Characters of text."""
_WINDOW = 2000
"""Characters that are looked at for it: what is cut off at their end may be half a secret, and is not shown."""

How = Literal["digest", "preview", "whole"]


@dataclass(frozen=True, slots=True)
class Kept:
    """`secrets` are masked; no more than `limit` bytes of a whole result are kept."""

    how: How
    secrets: Secrets
    limit: int

    def __call__(self, call: Call, result: Result) -> Mapping[str, Any]:
        if self.how == "digest":
            return {}
        secrets = of_call(self.secrets, call)
        if self.how == "whole":
            return {"whole": Screen(call, secrets, self.limit).result(result)}
        return {"preview": _preview(_text(result), secrets)}


def _preview(text: str, secrets: Secrets) -> str:
    shown = _masked(text, secrets)
    if shown is not text and len(text) == _WINDOW:
        # Masks are short: the end, which may be half a secret, may have moved to where it would be shown.
        shown = shown[: max(len(MASK), len(shown) - _WINDOW + PREVIEW)]
    return shown if len(shown) <= PREVIEW else shown[: PREVIEW - 1] + "…"


def _masked(text: str, secrets: Secrets) -> str:
    if not text or not secrets.within(plain(orjson.dumps(text))):
        return text
    shown = secrets.masked(text)
    return MASK if secrets.within(plain(orjson.dumps(shown))) else shown


def _text(result: Result) -> str:
    """How the text of a result begins: of what stands in its content, else its structured content."""
    found, length = [], 0
    content = result.get("content") or result.get("contents")
    for block in content if isinstance(content, list) else ():
        text = block.get("text") if isinstance(block, dict) else None
        if isinstance(text, str):
            found.append(text[:_WINDOW])
            length += len(found[-1]) + 1
            if length >= _WINDOW:
                break
    if not found and isinstance(structured := result.get("structuredContent"), dict):
        found.append(orjson.dumps(structured).decode())
    return "\n".join(found)[:_WINDOW]

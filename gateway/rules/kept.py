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
    shown = _masked(text, secrets)  # all of it: of a part, the end may be half a secret
    return shown if len(shown) <= PREVIEW else shown[: PREVIEW - 1] + "…"


def _masked(text: str, secrets: Secrets) -> str:
    if not text or not secrets.within(plain(orjson.dumps(text))):
        return text
    shown = secrets.masked(text)
    return MASK if secrets.within(plain(orjson.dumps(shown))) else shown


def _text(result: Result) -> str:
    """The text of a result: what stands in its content, else its structured content."""
    content = result.get("content") or result.get("contents")
    blocks = [block.get("text") for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    found = [text for text in blocks if isinstance(text, str)]
    if not found and isinstance(structured := result.get("structuredContent"), dict):
        found.append(orjson.dumps(structured).decode())
    return "\n".join(found)

"""What makes two calls the same: a digest of who is asked for what, whoever asks and whenever."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.call import Call


def fingerprint(server: str, tool: str, action: str, given: Mapping[str, Any], bound: Mapping[str, Any]) -> str:
    """SHA-256, hex, over canonical JSON: `given` as the caller gave them, `bound` as the gateway filled them in."""
    canonical = orjson.dumps([server, tool, action, dict(given), dict(bound)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).hexdigest()


def fingerprint_of(call: Call) -> str:
    """The fingerprint of a call that has its permit, its bound arguments filled in."""
    assert call.permit is not None
    bound = {name: call.arguments[name] for name in call.permit.bind}
    return fingerprint(call.server, call.tool, call.action, call.given, bound)

"""JSON-RPC as bytes and dicts: what is sent to an upstream, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib.metadata import version
from typing import Any

import orjson
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from gateway.call import Era, Result
from gateway.errors import UpstreamError
from gateway.strict import parse
from gateway.upstream.failures import garbled

MODERN = LATEST_MODERN_VERSION
LEGACY = LATEST_HANDSHAKE_VERSION

CLIENT_INFO = {"name": "toolgate", "version": version("toolgate")}
LEGACY_CAPABILITIES = {"elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {"listChanged": False}}
"""What the gateway can pass on to a client while a request of that client runs."""

INITIALIZE = {"protocolVersion": LEGACY, "capabilities": LEGACY_CAPABILITIES, "clientInfo": CLIENT_INFO}

TASKS = "io.modelcontextprotocol/tasks"
"""An extension that clients may declare, and the gateway does not towards upstreams: it has tasks of its own only."""

METHOD_NOT_FOUND = -32601
UNSUPPORTED_VERSION = -32022

BIGGEST_MESSAGE = 16 * 1024 * 1024
"""Bytes of one JSON answer, or of one line of a process."""

_ERA_KEYS = frozenset(
    {PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY}
)


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as UTF-8 JSON on one line. Integers of any size and lone surrogates are kept."""
    try:
        return orjson.dumps(message)
    except TypeError:
        return json.dumps(message, separators=(",", ":"), allow_nan=False).encode()


def decode(data: bytes | bytearray) -> dict[str, Any] | None:
    """The JSON object in `data`; None when there is none, or one that is ambiguous or too deep to be passed on."""
    try:
        message = parse(data)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


def request_params(era: Era, id: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """The params of request `id` as they go out in `era`: envelope stamped or removed, progress token ours.

    A progress token is sent only where the caller has one, and it is the request's id, so that two callers
    with the same token cannot be mixed up.
    """
    given: Mapping[str, Any] = params.get("_meta") or {}
    if era == "modern":
        meta = {
            **given,
            PROTOCOL_VERSION_META_KEY: MODERN,
            CLIENT_INFO_META_KEY: CLIENT_INFO,
            CLIENT_CAPABILITIES_META_KEY: _passed_on(given.get(CLIENT_CAPABILITIES_META_KEY, {})),
        }
    else:
        meta = {key: value for key, value in given.items() if key not in _ERA_KEYS}
    if meta.get("progressToken") is not None:
        meta["progressToken"] = id
    sent = {**params, "_meta": meta}
    if not meta:
        del sent["_meta"]
    return sent


def _passed_on(capabilities: Any) -> Any:
    """What a client can do, less what the gateway does not relay."""
    extensions = capabilities.get("extensions") if isinstance(capabilities, Mapping) else None
    if not isinstance(extensions, Mapping) or TASKS not in extensions:
        return capabilities
    return {**capabilities, "extensions": {name: value for name, value in extensions.items() if name != TASKS}}


def progress_token(params: Mapping[str, Any]) -> str | int | None:
    meta = params.get("_meta") or {}
    token: str | int | None = meta.get("progressToken")
    return token


def listen_filter(hello: Mapping[str, Any], uris: Collection[str]) -> dict[str, Any]:
    """What to ask of `subscriptions/listen`, by what the server says it can tell; empty for nothing."""
    capabilities = hello.get("capabilities") or {}
    asked: dict[str, Any] = {
        f"{kind}ListChanged": True
        for kind in ("tools", "resources", "prompts")
        if (capabilities.get(kind) or {}).get("listChanged")
    }
    if uris:
        asked["resourceSubscriptions"] = sorted(uris)
    return asked


def is_answer(message: Mapping[str, Any]) -> bool:
    return "method" not in message


def outcome(server: str, id: int, message: Mapping[str, Any]) -> Result:
    """The result in the answer to request `id`. Raises UpstreamError, or Garbled when it is no such answer."""
    error = message.get("error")
    if isinstance(error, dict) and message.get("id") in (id, None):
        code, text = error.get("code"), error.get("message")
        if isinstance(code, int) and isinstance(text, str):
            raise UpstreamError(code, text, error.get("data"))
    result = message.get("result")
    answered = message.get("id")
    if error is None and isinstance(result, dict) and answered == id and type(answered) is int:
        return result
    raise garbled(server)

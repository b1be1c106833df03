"""The way in: Host and Origin, then the token, then the face and the era. Nothing else decides who somebody is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import orjson
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import Receive, Scope, Send

from gateway.call import Principal
from gateway.errors import Unauthenticated
from gateway.mcp_face.http import ClientGone, Headers, respond
from gateway.mcp_face.legacy import Legacy
from gateway.mcp_face.modern import Modern
from gateway.policy import Policy

PATH = "/mcp"


class Verifier(Protocol):
    """Who a token belongs to. Raises Unauthenticated."""

    def verify(self, token: str, now: float) -> Principal: ...


@dataclass(frozen=True, slots=True)
class Visitors:
    """Which Host and Origin values are let in; `name:*` takes any port (DNS rebinding, CVE-2025-66416)."""

    hosts: frozenset[str]
    origins: frozenset[str]

    def knows_host(self, host: str) -> bool:
        return _listed(host, self.hosts)

    def knows_origin(self, origin: str) -> bool:
        return not origin or _listed(origin, self.origins)


def _listed(value: str, known: frozenset[str]) -> bool:
    if value in known:
        return True
    name, _, port = value.rpartition(":")
    return port.isdecimal() and f"{name}:*" in known


@dataclass(frozen=True, slots=True)
class Door:
    """ASGI app of `/mcp` and `/mcp/{server}`."""

    visitors: Visitors
    tokens: Verifier
    policy: Callable[[], Policy]
    modern: Modern
    legacy: Mapping[str | None, Legacy]
    clock: Callable[[], float] = time.time

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.of(scope)
        if not self.visitors.knows_host(headers.get("host")):
            return await _refuse(send, 421, "This Host is not served here.")
        if not self.visitors.knows_origin(headers.get("origin")):
            return await _refuse(send, 403, "This Origin is not let in.")
        try:
            principal = self.tokens.verify(_bearer(headers), self.clock())
        except Unauthenticated as refused:
            challenge = (b"www-authenticate", b'Bearer realm="toolgate", error="invalid_token"')
            return await _refuse(send, 401, str(refused), challenge)
        server = scope["path"][len(PATH) + 1 :] or None
        face = self.legacy.get(server)
        if face is None or (server is not None and not self.policy().reaches(principal.agent, server)):
            return await _refuse(send, 404, "There is no such face; connect to /mcp.")
        if scope["method"] == "POST" and not headers.get("content-type").lower().startswith("application/json"):
            return await _refuse(send, 400, "Content-Type must be application/json.")
        version = headers.get("mcp-protocol-version")
        try:
            if version and version not in HANDSHAKE_PROTOCOL_VERSIONS:
                return await self.modern(scope, receive, send, headers, principal, server)
            return await face(scope, receive, send, principal)
        except ClientGone:
            return None


def _bearer(headers: Headers) -> str:
    scheme, _, token = headers.get("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _refuse(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """A refusal before there is a JSON-RPC request: HTTP's status, and an error body without an id."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": text}})
    await respond(send, status, body, headers=headers)

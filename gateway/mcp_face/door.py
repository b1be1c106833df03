"""The way in: Host and Origin, then the token, then the face and the era. Nothing else decides who somebody is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self

import orjson
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.types import Receive, Scope, Send

from gateway.call import Principal
from gateway.errors import Unauthenticated
from gateway.mcp_face.http import ClientGone, Headers, respond
from gateway.mcp_face.modern import Modern
from gateway.mcp_face.sessions import Sessions
from gateway.policy import Policy

PATH = "/mcp"
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_ONCE = ("host", "origin", "authorization")
"""Headers that decide: of two, others on the way might have judged the one that we do not."""


class Verifier(Protocol):
    """Who a token belongs to. Raises Unauthenticated."""

    async def identify(self, token: str, now: float) -> Principal: ...


@dataclass(frozen=True, slots=True)
class Visitors:
    """Which Host and Origin values are let in; `name:*` takes any port (DNS rebinding, CVE-2025-66416)."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, hosts: Iterable[str], origins: Iterable[str]) -> Self:
        """Loopback at any port, and what is allowed beyond it."""
        loopback = [value for name in _LOOPBACK for value in (name, f"{name}:*")]
        return cls(frozenset([*loopback, *hosts]), frozenset([*(f"http://{value}" for value in loopback), *origins]))

    def knows_host(self, host: str) -> bool:
        return _listed(host, self.hosts)

    def knows_origin(self, origin: str | None) -> bool:
        """Only browsers send one, and they always do when it matters."""
        return origin is None or _listed(origin, self.origins)


def _listed(value: str, known: frozenset[str]) -> bool:
    name, _, port = value.rpartition(":")
    return port != "*" and (value in known or (port.isdecimal() and f"{name}:*" in known))


@dataclass(frozen=True, slots=True)
class Door:
    """ASGI app of `/mcp` and `/mcp/{server}`."""

    visitors: Visitors
    tokens: Verifier
    policy: Callable[[], Policy]
    modern: Modern
    sessions: Sessions
    servers: Container[str]
    clock: Callable[[], float] = time.time
    visits: dict[Principal, set[asyncio.Task[None]]] = field(default_factory=dict)
    """Requests being served, by who sent them."""
    evicted: set[asyncio.Task[None]] = field(default_factory=set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.of(scope)
        if repeats(headers):
            return await _refuse(send, 400, f"Each of these headers may be there once: {', '.join(_ONCE)}.")
        if not self.visitors.knows_host(headers.get("host")):
            return await _refuse(send, 421, "This Host is not served here.")
        if not self.visitors.knows_origin(headers.folded.get("origin")):
            return await _refuse(send, 403, "This Origin is not let in.")
        try:
            principal = await self.tokens.identify(bearer_of(headers), self.clock())
        except Unauthenticated as refused:
            return await _turn_away(send, str(refused))
        server = scope["path"][len(PATH) + 1 :] or None
        if server is not None and not (server in self.servers and self.policy().reaches(principal.agent, server)):
            return await _refuse(send, 404, "There is no such face; connect to /mcp.")
        if scope["method"] == "POST" and not headers.get("content-type").lower().startswith("application/json"):
            return await _refuse(send, 400, "Content-Type must be application/json.")
        return await self._serve(scope, receive, send, headers, principal, server)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers, principal: Principal, server: str | None
    ) -> None:
        version = headers.get("mcp-protocol-version")
        task = asyncio.current_task()
        assert task is not None
        visits = self.visits.setdefault(principal, set())
        visits.add(task)
        try:
            if version and version not in HANDSHAKE_PROTOCOL_VERSIONS:
                await self.modern(scope, receive, send, headers, principal, server)
            else:
                await self.sessions.serve(scope, receive, send, principal, server)
        except ClientGone:
            return
        except asyncio.CancelledError:
            if task not in self.evicted:
                raise
            task.uncancel()
            with contextlib.suppress(RuntimeError):  # the answer has begun: it just ends
                await _turn_away(send, "This token is not valid any more.")
        finally:
            self.evicted.discard(task)
            visits.discard(task)
            if not visits:
                self.visits.pop(principal, None)

    def evict(self, welcome: Callable[[Principal], bool]) -> None:
        """End the requests, open streams among them, of everyone who is not welcome any more."""
        for principal, visits in list(self.visits.items()):
            if not welcome(principal):
                for task in list(visits):
                    self.evicted.add(task)
                    task.cancel()


def repeats(headers: Headers) -> bool:
    """Whether a header that decides is there more than once."""
    if len(headers.folded) == len(headers.pairs):
        return False
    names = [name for name, _ in headers.pairs]
    return any(names.count(name) > 1 for name in _ONCE)


def bearer_of(headers: Headers) -> str:
    """The token in `Authorization`; empty when there is none."""
    scheme, _, token = headers.get("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


async def _turn_away(send: Send, text: str) -> None:
    challenge = (b"www-authenticate", b'Bearer realm="toolgate", error="invalid_token"')
    await _refuse(send, 401, text, challenge)


async def _refuse(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    """A refusal before there is a JSON-RPC request: HTTP's status, and an error body without an id."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": text}})
    await respond(send, status, body, headers=headers)

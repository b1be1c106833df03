"""Each server has one credential; a request without it is refused before MCP sees it."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send


def variable(server: str) -> str:
    """The environment variable that holds the credential of `server`."""
    return f"{server.upper()}_KEY"


def credential(server: str, environ: Mapping[str, str]) -> str:
    """The credential of `server`: its variable, else what the file holds that `..._KEY_FILE` names; "" without both.

    Raises OSError and UnicodeDecodeError when the file cannot be read.
    """
    name = variable(server)
    if not environ.get(name) and (file := environ.get(f"{name}_FILE")):
        return Path(file).read_text(encoding="utf-8").strip()
    return environ.get(name, "")


@dataclass(frozen=True, slots=True)
class RequireCredential:
    """Answer 401 to every request whose one `Authorization` header is not `Bearer <key>`."""

    app: ASGIApp
    server: str
    key: str = field(repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._holds(scope):
            await self.app(scope, receive, send)
        else:
            await self._refuse(send)

    def _holds(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], f"Bearer {self.key}".encode())

    async def _refuse(self, send: Send) -> None:
        text = f"{self.server} needs its own credential: send 'Authorization: Bearer <{variable(self.server)}>'."
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps({"error": text}).encode()})

"""Clients that write bytes, not requests: what goes out is what stands here, and nothing tidies it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gateway_process import GatewayProcess
from raw_client import ENVELOPE, MODERN

POLICIES = {
    "clerk.toml": 'agent = "clerk"\ndescription = "Shops."\n[[allow]]\ntool = "shop/*"\n[[deny]]\ntool = "*/hidden"\n'
}
PATIENCE = 15.0
"""Seconds after which a gateway that neither answers nor closes has hung."""


@dataclass(frozen=True, slots=True)
class Heard:
    """All that came back, until the other side closed or fell silent."""

    raw: bytes
    closed: bool

    @property
    def statuses(self) -> list[int]:
        pieces = self.raw.split(b"HTTP/1.1 ")[1:]
        return [int(piece[:3]) for piece in pieces]


def note(text: str, identity: Any = 1) -> bytes:
    """The body of a call of `shop/note`."""
    params = {"name": "shop__note", "arguments": {"text": text}, "_meta": ENVELOPE}
    return json.dumps({"jsonrpc": "2.0", "id": identity, "method": "tools/call", "params": params}).encode()


@dataclass(frozen=True, slots=True)
class Wire:
    """Where a gateway listens, and a token of its agent."""

    port: int
    token: str

    @classmethod
    def to(cls, gateway: GatewayProcess) -> Wire:
        return cls(gateway.port, gateway.token("clerk"))

    def head(self, *more: str, without: str = "") -> bytes:
        """Headers of a call of `shop/note`, each line with its end, but for those of the body."""
        lines = [
            "Host: localhost",
            f"Authorization: Bearer {self.token}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"MCP-Protocol-Version: {MODERN}",
            "Mcp-Method: tools/call",
            "Mcp-Name: shop__note",
            *more,
        ]
        return "".join(f"{line}\r\n" for line in lines if not without or not line.startswith(without)).encode("latin-1")

    def call(self, text: str, *more: str) -> bytes:
        """A whole request, well formed."""
        body = note(text)
        return b"POST /mcp HTTP/1.1\r\n" + self.head(*more, f"Content-Length: {len(body)}") + b"\r\n" + body

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            yield connection

    def say(self, raw: bytes, *, silence: float = 1.0) -> Heard:
        """Send bytes, and hear until the other side closes, or says nothing more for so many seconds."""
        with self.connected() as connection:
            with contextlib.suppress(OSError):  # it closed already: what it said before is still there to be read
                connection.sendall(raw)
            return hear(connection, silence)


def hear(connection: socket.socket, silence: float = PATIENCE) -> Heard:
    """What the other side says. Raises AssertionError when it neither speaks nor closes within PATIENCE."""
    raw, begun = b"", time.monotonic()
    connection.settimeout(PATIENCE)
    while time.monotonic() - begun < PATIENCE:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            break
        except OSError:
            return Heard(raw, True)
        if not piece:
            return Heard(raw, True)
        raw += piece
        connection.settimeout(silence)
    assert raw, f"nothing came back, and the connection stayed open for {PATIENCE} s"
    return Heard(raw, False)

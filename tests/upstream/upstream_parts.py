"""What the tests of upstreams share: a spec, a peer that remembers, a place to serve, a bounded wait."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import uvicorn

from gateway.upstream import Upstream


@dataclass
class Spec:
    name: str = "depot"
    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    command: str | None = None
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None
    era: Literal["auto", "legacy", "modern"] = "auto"
    timeout: float = 10.0


class Seen:
    """What an upstream told its owner: each listing change as (up, names of tools), and notices."""

    def __init__(self) -> None:
        self.listings: list[tuple[bool, list[str]]] = []
        self.notices: list[tuple[str, dict[str, Any]]] = []

    def on_listing(self, upstream: Upstream) -> None:
        self.listings.append((upstream.up, [tool["name"] for tool in upstream.listing.tools]))

    def on_notice(self, upstream: Upstream, method: str, params: dict[str, Any]) -> None:
        self.notices.append((method, params))


class Client:
    """A peer that remembers notifications in order and answers questions from a table, or raises from it."""

    def __init__(self, answers: Mapping[str, dict[str, Any] | Exception] | None = None) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers or {}

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        self.heard.append((method, params))

    async def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((method, params))
        answer = self._answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Http:
    """A made-to-order ASGI app on a port of its own, which it keeps when it is stopped and started again."""

    def __init__(self, app: Callable[[], Any]) -> None:
        self.app = app
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def start(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", self.port))
        self.port = sock.getsockname()[1]
        config = uvicorn.Config(self.app(), log_level="critical", timeout_graceful_shutdown=0, ws="none")
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve([sock]))
        await until(lambda: self._server.started)

    async def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True
        await self._task


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    """Wait until a condition holds; fail when it does not within the bound."""
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"not within {seconds} seconds")


def call(name: str, arguments: dict[str, Any] | None = None, **meta: Any) -> dict[str, Any]:
    params: dict[str, Any] = {"name": name, "arguments": arguments or {}}
    return {**params, "_meta": meta} if meta else params


def text(result: Mapping[str, Any]) -> str:
    return str(result["content"][0]["text"])

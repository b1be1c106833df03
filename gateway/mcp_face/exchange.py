"""One modern request and its response: JSON if the answer comes alone, SSE once anything comes before it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Mapping
from typing import Any

import orjson
from starlette.types import Receive, Send

from gateway.call import Result
from gateway.errors import Unbridgeable
from gateway.mcp_face.http import respond
from gateway.mcp_face.wire import LOG_LEVEL_KEY, LOG_LEVELS, RpcError

PING_INTERVAL = 15.0
"""Seconds of silence after which an SSE comment keeps the connection open."""
WATCH_AFTER = 0.02
"""Seconds after which it is worth a task to see whether the client has left."""

_SSE_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Exchange:
    """The peer of one modern request. It takes notifications; it cannot be asked, for this era has no way back."""

    def __init__(self, identity: str | int, meta: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.identity = identity
        self._receive = receive
        self._send = send
        self._streaming = False
        self._gone = False
        self._spoke = 0.0
        """When something was last sent, by the loop's clock."""
        self._level = rank(meta.get(LOG_LEVEL_KEY))

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/message":
            # The era delivers log messages only to requests that asked for that level or below.
            if self._level is None or (rank(params.get("level")) or 0) < self._level:
                return
        elif method != "notifications/progress":
            return
        await self.send(method, params)

    async def send(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification of the gateway's own on this request's stream."""
        if not self._gone:
            await self._event({"jsonrpc": "2.0", "method": method, "params": params})

    def drop(self, task: asyncio.Task[Any]) -> None:
        """Give up on a client that does not read; `task` serves it."""
        self._gone = True
        task.cancel()

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        raise Unbridgeable(f"The tool asked the client something ({method}), and this client cannot be asked.")

    async def serve(self, answer: Coroutine[Any, Any, Result]) -> None:
        """Await the answer, or the RpcError it raises, and send it; a client that leaves cancels it."""
        task = asyncio.current_task()
        assert task is not None
        attendant: list[asyncio.Task[None]] = []
        loop = asyncio.get_running_loop()
        timer = loop.call_later(WATCH_AFTER, lambda: attendant.append(loop.create_task(self._attend(task))))
        try:
            message: dict[str, Any] = {"jsonrpc": "2.0", "id": self.identity, "result": await answer}
            status = 200
        except RpcError as error:
            message = {"jsonrpc": "2.0", "id": self.identity, "error": error.body()}
            status = error.status
        except asyncio.CancelledError:
            if self._gone and task.uncancel() == 0:
                return
            raise
        finally:
            timer.cancel()
            for helper in attendant:
                helper.cancel()
        await self._finish(message, status)

    async def _finish(self, message: dict[str, Any], status: int) -> None:
        body = orjson.dumps(message)
        if self._streaming:
            await self._send({"type": "http.response.body", "body": _frame(body), "more_body": False})
        else:
            await respond(self._send, status, body)

    async def _event(self, message: dict[str, Any]) -> None:
        await self._piece(_frame(orjson.dumps(message)))

    async def _piece(self, body: bytes) -> None:
        self._spoke = asyncio.get_running_loop().time()
        await self._begin()
        await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def _begin(self) -> None:
        if not self._streaming:
            self._streaming = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _SSE_HEADERS})

    async def _attend(self, task: asyncio.Task[Any]) -> None:
        """Cancel the work when the client leaves; keep the connection open while it waits."""
        pinger = asyncio.get_running_loop().create_task(self._ping())
        try:
            while (await self._receive())["type"] != "http.disconnect":
                pass
            self.drop(task)
        finally:
            pinger.cancel()

    async def _ping(self) -> None:
        clock = asyncio.get_running_loop().time
        self._spoke = max(self._spoke, clock())
        with contextlib.suppress(OSError):  # the attendant sees the client leave
            while True:
                await asyncio.sleep(self._spoke + PING_INTERVAL - clock())
                if clock() - self._spoke >= PING_INTERVAL:
                    await self._piece(b": ping\r\n\r\n")


def _frame(body: bytes) -> bytes:
    return b"event: message\r\ndata: " + body + b"\r\n\r\n"


def rank(level: Any) -> int | None:
    """How grave a log level is; None for one that is none."""
    return LOG_LEVELS.index(level) if level in LOG_LEVELS else None

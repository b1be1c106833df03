"""Requests that only another replica can answer, because what they go on with lives there: they are passed on to it.

One hop only: a request that was passed on is answered by whoever gets it. The client's token goes with it, so that the
other replica lets in nobody whom this one would not.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.mcp_face.http import Headers, respond
from gateway.mcp_face.parking import owner_of
from gateway.upstream.pool import Pool
from gateway.upstream.response import HttpFailed, NotSent, Response

log = logging.getLogger("toolgate.face")

_FORWARDED = "toolgate-forwarded"
_PASSED = ("authorization", "content-type", "accept")
_ANSWERED = ("content-type", "cache-control", "x-accel-buffering", "www-authenticate")


@dataclass(frozen=True, slots=True)
class Forwarding:
    """`owner` is this process. `find` gives the address of a replica by its owner, or of the one where the call of a
    task is under way, by the task; None where there is none. It raises Unrecorded.
    """

    owner: str
    find: Callable[[str | None, str | None], Awaitable[str | None]]

    async def passed_on(
        self, message: Mapping[str, Any], scope: Scope, headers: Headers, body: bytes, receive: Receive, send: Send
    ) -> bool:
        """Whether the request was for another replica, and that has answered it. Raises Unrecorded."""
        there = await self._elsewhere(message, headers)
        return there is not None and await self._pass_on(there, scope["path"], headers, body, receive, send)

    async def _elsewhere(self, message: Mapping[str, Any], headers: Headers) -> str | None:
        """The address of the replica that this request is for; None when it is this one, or nobody."""
        params, task = message["params"], None
        owner = owner_of(params.get("requestState"))
        if message["method"] in ("tasks/get", "tasks/update", "tasks/cancel"):
            task = params.get("taskId")
        wanted = (owner is not None and owner != self.owner) or isinstance(task, str)
        if not wanted or _FORWARDED in headers.folded:
            return None
        return await self.find(owner, task)

    async def _pass_on(
        self, address: str, path: str, headers: Headers, body: bytes, receive: Receive, send: Send
    ) -> bool:
        """Have the other replica answer; False when it cannot be reached. A client that leaves ends it there too."""
        passed = {name: value for name, value in headers.pairs if name in _PASSED or name.startswith("mcp-")}
        pool = Pool(address)
        task = asyncio.current_task()
        watching = asyncio.ensure_future(_gone(receive, task))
        try:
            response = await pool.request("POST", path, {**passed, _FORWARDED: self.owner}, body)
            await _copy(response, send)
        except NotSent as error:
            log.warning("replica at %s cannot be reached: %s", address, error)
            return False
        except HttpFailed as error:
            log.warning("replica at %s did not answer whole: %s", address, error)
            with contextlib.suppress(RuntimeError):  # the answer has begun: it just ends
                await respond(send, 502)
        except asyncio.CancelledError:
            if not watching.done() or task is None or task.uncancel():
                raise
        finally:
            watching.cancel()
            await pool.close()
        return True


async def _gone(receive: Receive, task: asyncio.Task[Any] | None) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if task is not None:
        task.cancel()


async def _copy(response: Response, send: Send) -> None:
    told = [(name.encode(), response.header(name).encode()) for name in _ANSWERED if response.header(name)]
    await send({"type": "http.response.start", "status": response.status, "headers": told})
    while chunk := await response.chunk():
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})

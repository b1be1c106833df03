"""The legacy side of every face, begun when its first client comes.

The SDK's server is a fifth of the gateway's memory and half of its start-up time: a gateway whose clients are
all modern never loads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.call import Principal

Face = Callable[[Scope, Receive, Send, Principal], Awaitable[None]]


@dataclass(slots=True)
class Sessions:
    """Faces by server (None: all servers). `parts` are what `gateway.mcp_face.legacy.Legacy` is made of."""

    parts: dict[str, Any]
    _faces: dict[str | None, Face] = field(default_factory=dict)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def serve(self, scope: Scope, receive: Receive, send: Send, principal: Principal, server: str | None) -> None:
        face = self._faces.get(server) or await self._begin(server)
        await face(scope, receive, send, principal)

    async def _begin(self, server: str | None) -> Face:
        async with self._lock:
            if server not in self._faces:
                # In a thread, so that the calls under way do not wait for the import.
                legacy = await asyncio.to_thread(import_module, "gateway.mcp_face.legacy")
                face = legacy.Legacy(server, **self.parts)
                begun = asyncio.Event()
                self._tasks.append(asyncio.create_task(_run(face, begun)))
                await begun.wait()
                self._faces[server] = face
            return self._faces[server]

    async def close(self) -> None:
        """End every session."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _run(face: Any, begun: asyncio.Event) -> None:
    """Hold a face's task group: it has to be entered and left by one task."""
    async with face.running():
        begun.set()
        await asyncio.Event().wait()

"""The legacy side of every face, begun when its first client comes.

The SDK's server is a fifth of the gateway's memory and start-up time: a gateway whose clients are
all modern never loads it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any

from starlette.types import Receive, Scope, Send

from gateway.call import Principal


@dataclass(slots=True)
class Sessions:
    """Faces by server (None: all servers). `make` makes one from the module `gateway.mcp_face.legacy`."""

    make: Callable[[ModuleType, str | None], Any]
    _faces: dict[str | None, Any] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def serve(self, scope: Scope, receive: Receive, send: Send, principal: Principal, server: str | None) -> None:
        face = self._faces.get(server) or await self._begin(server)
        await face(scope, receive, send, principal)

    async def _begin(self, server: str | None) -> Any:
        async with self._lock:
            if server not in self._faces:
                # In a thread, so that the calls under way do not wait for the import.
                legacy = await asyncio.to_thread(import_module, "gateway.mcp_face.legacy")
                begun: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
                task = asyncio.create_task(self._run(server, self.make(legacy, server), begun))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                await begun
            return self._faces[server]

    async def _run(self, server: str | None, face: Any, begun: asyncio.Future[Any]) -> None:
        """Hold a face's task group: it has to be entered and left by one task."""
        try:
            async with face.running():
                self._faces[server] = face
                begun.set_result(None)
                await asyncio.Event().wait()
        except Exception as error:
            if begun.done():
                raise
            begun.set_exception(error)
        finally:
            self._faces.pop(server, None)

    async def close(self) -> None:
        """End every session."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

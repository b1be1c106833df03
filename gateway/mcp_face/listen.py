"""`subscriptions/listen`: one long response that carries the changes a modern client asked to hear of."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from gateway.call import Result
from gateway.mcp_face.audience import MAX_URIS, Audience, Listener
from gateway.mcp_face.exchange import Exchange
from gateway.mcp_face.lists import Lists
from gateway.mcp_face.relay import Request
from gateway.mcp_face.tasks import Tasks
from gateway.mcp_face.wire import INVALID_PARAMS, REFUSED, SUBSCRIPTION_KEY, RpcError

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
TASKS = "notifications/tasks"
_FLAGS = {"toolsListChanged": "tools", "resourcesListChanged": "resources", "promptsListChanged": "prompts"}
_BACKLOG = 1024
_STREAMS = 256
"""Streams one agent may have open at once."""

Backlog = asyncio.Queue[tuple[str, dict[str, Any]]]


@dataclass(slots=True)
class Listen:
    """Serves listen streams. `watch` has the upstreams tell of what is subscribed to by now."""

    audience: Audience
    lists: Lists
    watch: Callable[[], Awaitable[None]]
    tasks: Tasks
    open: Counter[str] = field(default_factory=Counter)

    async def serve(self, request: Request, exchange: Exchange) -> Result:
        """Stream changes until the client leaves, which cancels this."""
        agent = request.principal.agent
        wanted = request.params.get("notifications") or {}
        honored: dict[str, Any] = {flag: True for flag in _FLAGS if wanted.get(flag) is True}
        honored |= await self._tasks(request, wanted.get("taskIds"))
        uris = [uri for uri in wanted.get("resourceSubscriptions") or () if isinstance(uri, str)]
        if len(uris) > MAX_URIS:
            raise RpcError(INVALID_PARAMS, f"At most {MAX_URIS} resources can be subscribed to in one stream.")
        if uris:
            honored["resourceSubscriptions"] = uris
        listener = Listener(agent, request.server, frozenset(_FLAGS[flag] for flag in honored if flag in _FLAGS))
        visible = self.lists.policy().visible
        located = {(self.lists.locate(agent, request.server, uri), uri) for uri in uris}
        listener.uris = {(server, uri) for server, uri in located if visible(agent, server, uri, "read")}
        if self.open[agent] >= _STREAMS:
            raise RpcError(REFUSED, f"Too many open subscriptions: {agent} may have {_STREAMS}. Close one first.")
        self.open[agent] += 1
        try:
            return await self._stream(request, listener, exchange, honored)
        finally:
            self.open[agent] -= 1
            self.audience.leave(listener)
            if listener.uris:
                await asyncio.shield(self.watch())

    async def _tasks(self, request: Request, wanted: Any) -> dict[str, Any]:
        """Those of the tasks wanted that this agent may hear of. Raises RpcError."""
        if wanted is None:
            return {}
        ids = [each for each in wanted if isinstance(each, str)] if isinstance(wanted, list) else []
        if len(ids) > MAX_URIS:
            raise RpcError(INVALID_PARAMS, f"At most {MAX_URIS} tasks can be followed in one stream.")
        return {"taskIds": await self.tasks.known(request, ids)}

    async def _stream(
        self, request: Request, listener: Listener, exchange: Exchange, honored: dict[str, Any]
    ) -> Result:
        tag = {SUBSCRIPTION_KEY: exchange.identity}
        backlog = Backlog(_BACKLOG)
        task = asyncio.current_task()
        assert task is not None

        def deliver(method: str, params: dict[str, Any]) -> None:
            if backlog.full():  # the client does not read: it may list again when it returns
                self.audience.leave(listener)
                exchange.drop(task)
            else:
                backlog.put_nowait((method, params))

        self.audience.join(listener, deliver)
        if listener.uris:
            await self.watch()
        await exchange.send(ACKNOWLEDGED, {"notifications": honored, "_meta": tag})
        with self.tasks.followed(request, honored.get("taskIds", ()), partial(deliver, TASKS)):
            while True:
                method, params = await backlog.get()
                await exchange.send(method, {**params, "_meta": {**params.get("_meta", {}), **tag}})

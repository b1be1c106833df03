"""`subscriptions/listen`: one long response that carries the changes a modern client asked to hear of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.call import Result
from gateway.mcp_face.audience import Audience, Listener
from gateway.mcp_face.exchange import Exchange
from gateway.mcp_face.lists import Lists
from gateway.mcp_face.relay import Request
from gateway.mcp_face.wire import INTERNAL_ERROR, SERVER_INFO, SERVER_INFO_KEY, SUBSCRIPTION_KEY, RpcError

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_FLAGS = {"toolsListChanged": "tools", "resourcesListChanged": "resources", "promptsListChanged": "prompts"}
_BACKLOG = 1024
_STREAMS = 10_000


@dataclass(slots=True)
class Listen:
    """Serves listen streams. `watch` is told after the set of subscribed resources changed."""

    audience: Audience
    lists: Lists
    watch: Callable[[], Awaitable[None]]
    open: int = 0

    async def serve(self, request: Request, exchange: Exchange) -> Result:
        """Stream changes until the client leaves, which cancels this."""
        if self.open >= _STREAMS:
            raise RpcError(INTERNAL_ERROR, "Too many open subscriptions")
        wanted = request.params.get("notifications") or {}
        honored: dict[str, Any] = {flag: True for flag in _FLAGS if wanted.get(flag) is True}
        uris = [uri for uri in wanted.get("resourceSubscriptions") or () if isinstance(uri, str)]
        if uris:
            honored["resourceSubscriptions"] = uris
        agent = request.principal.agent
        backlog: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(_BACKLOG)
        located = {(self.lists.locate(agent, request.server, uri), uri) for uri in uris}
        visible = self.lists.policy().visible
        listener = Listener(
            agent,
            request.server,
            lambda method, params: backlog.put_nowait((method, params)),
            frozenset(_FLAGS[flag] for flag in honored if flag in _FLAGS),
            {(server, uri) for server, uri in located if server and visible(agent, server, uri, "read")},
        )
        return await self._stream(listener, backlog, exchange, honored)

    async def _stream(
        self,
        listener: Listener,
        backlog: asyncio.Queue[tuple[str, dict[str, Any]]],
        exchange: Exchange,
        honored: dict[str, Any],
    ) -> Result:
        tag = {SUBSCRIPTION_KEY: exchange.identity}
        self.audience.join(listener)
        self.open += 1
        try:
            if listener.uris:
                await self.watch()
            await exchange.notify(ACKNOWLEDGED, {"notifications": honored, "_meta": tag})
            while not backlog.full():  # a client that stopped reading is let go: it lists again when it returns
                method, params = await backlog.get()
                await exchange.notify(method, {**params, "_meta": {**params.get("_meta", {}), **tag}})
        finally:
            self.open -= 1
            self.audience.leave(listener)
            if listener.uris:
                await asyncio.shield(self.watch())
        return {"resultType": "complete", "_meta": {**tag, SERVER_INFO_KEY: SERVER_INFO}}

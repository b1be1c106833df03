"""What a request of either era means: lists are answered here, calls go through the controls."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from gateway.call import Action, Call, CallNext, Era, Peer, Principal, Result
from gateway.catalog import Catalog
from gateway.errors import Refused, Throttled, Unrecorded
from gateway.mcp_face.capabilities import capabilities, instructions
from gateway.mcp_face.lists import SEPARATOR, Lists, split
from gateway.mcp_face.served import ABSENT, Served
from gateway.mcp_face.wire import (
    CLIENT_INFO_KEY,
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    PROTOCOL_VERSION_KEY,
    REFUSED,
    RESOURCE_NOT_FOUND,
    SERVER_INFO,
    SERVER_INFO_KEY,
    RpcError,
    dressed,
    plain_tool,
    refusal_error,
    refusal_result,
)

log = logging.getLogger("toolgate.face")

_PROCESS = secrets.token_hex(8)
_numbers = count(1)
"""Call ids: which process, then which call of it. They name calls in the log and give no right to anything."""

_KEPT_BACK = frozenset({PROTOCOL_VERSION_KEY, CLIENT_INFO_KEY})
_KEY_LIMIT = 255
_OUR_KEYS = ("ticket/", "undo/")
"""How keys of the gateway's own begin."""
_LISTS = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request of one client. `server` None: the face of all servers, where names are `server__tool`."""

    principal: Principal
    server: str | None
    era: Era
    method: str
    params: Mapping[str, Any]
    peer: Peer
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What may be forwarded of `_meta`; the client's capabilities stand in it for both eras."""


@dataclass(frozen=True, slots=True)
class Relay:
    """Answers requests. Raises RpcError, and nothing else."""

    catalog: Catalog
    lists: Lists
    run: CallNext
    """The controls around the upstream."""
    throttle: Callable[[str], None]
    """Counts a request of an agent that reaches no control, or raises Throttled."""
    served: Served

    async def answer(self, request: Request) -> Result:
        handler = _HANDLERS.get(request.method)
        if handler is None:
            raise RpcError(METHOD_NOT_FOUND, "Method not found", request.method)
        agent, run = request.principal.agent, request.meta.get("toolgate/run")
        with self.served.begin(agent, request.method, *self._place(request), run, request.meta) as serving:
            if serving.span is not None:
                request = replace(request, meta=serving.meta)
            if request.method in _ANSWERED_HERE:
                self.admit(agent)
            result = await handler(self, request)
            serving.ended(result)
        return dressed(result, request.era, cacheable=request.method in _CACHEABLE)

    def _place(self, request: Request) -> tuple[str, str]:
        """The server and the tool that a request is about, as metrics may name them: only what the catalog knows."""
        server, tool, name = request.server or "", "", request.params.get("name")
        if request.method == "tools/call":
            server, name = split(name, request.server) if isinstance(name, str) else ("", "")
            tool = ABSENT if self.catalog.tool(server, name) is None else name
        elif request.method == "prompts/get" and isinstance(name, str):
            server, _ = split(name, request.server)
        return server if not server or self.catalog.offer(server) is not None else ABSENT, tool

    def admit(self, agent: str) -> None:
        """Count a request that is not a call. Raises RpcError when the agent asks too often."""
        try:
            self.throttle(agent)
        except Throttled as refused:
            told = {"reason": refused.reason, "retry_after": refused.retry_after}
            raise RpcError(REFUSED, str(refused), told) from None

    async def _list(self, request: Request) -> Result:
        kind = _LISTS[request.method]
        page = self.lists.page(request.principal.agent, request.server, kind, request.params.get("cursor"))
        if kind == "tools" and request.era == "legacy":
            page["tools"] = [plain_tool(tool) for tool in page["tools"]]
        return page

    async def _discover(self, request: Request) -> Result:
        result: Result = {
            "supportedVersions": ["2026-07-28"],
            "capabilities": capabilities(self.catalog, request.server, "modern"),
            "_meta": {SERVER_INFO_KEY: SERVER_INFO},
        }
        if (text := instructions(self.catalog, request.server)) is not None:
            result["instructions"] = text
        return result

    async def _ping(self, request: Request) -> Result:
        return {}

    async def _call_tool(self, request: Request) -> Result:
        server, tool = split(_text(request.params, "name"), request.server)
        call = self.call(request, server, tool, "call", _mapping(request.params, "arguments"))
        try:
            return await self.run(call)
        except Unrecorded:
            raise
        except Refused as refused:
            return refusal_result(call, refused)

    async def _get_prompt(self, request: Request) -> Result:
        server, name = split(_text(request.params, "name"), request.server)
        return await self._ask(self.call(request, server, name, "get", _mapping(request.params, "arguments")))

    async def _read(self, request: Request) -> Result:
        uri = _text(request.params, "uri")
        server = self.lists.locate(request.principal.agent, request.server, uri)
        return await self._ask(self.call(request, server, uri, "read", {}))

    async def _subscribe(self, request: Request) -> Result:
        """Only says whether it may be done; the era's own side keeps who hears of what."""
        uri, agent = _text(request.params, "uri"), request.principal.agent
        server = self.lists.locate(agent, request.server, uri)
        if not self.lists.policy().visible(agent, server, uri, "read"):
            code = RESOURCE_NOT_FOUND if request.era == "legacy" else INVALID_PARAMS
            raise RpcError(code, "There is no such resource that you may read.", {"uri": uri})
        return {}

    async def _complete(self, request: Request) -> Result:
        ref = _mapping(request.params, "ref")
        rest = {key: value for key, value in request.params.items() if key in ("argument", "context")}
        if ref.get("type") == "ref/prompt":
            server, name = split(_text(ref, "name"), request.server)
            return await self._ask(self.call(request, server, name, "get", {"ref": {**ref, "name": name}, **rest}))
        uri = _text(ref, "uri")
        server = self.lists.locate(request.principal.agent, request.server, uri) or self._template(uri)
        return await self._ask(self.call(request, server, uri, "read", {"ref": ref, **rest}))

    def _template(self, template: str) -> str:
        for offer in self.catalog.listed():
            if any(known["uriTemplate"] == template for known in offer.templates):
                return offer.server
        return ""

    async def _ask(self, call: Call) -> Result:
        try:
            return await self.run(call)
        except Unrecorded:
            raise
        except Refused as refused:
            raise refusal_error(call, refused) from None

    def call(self, request: Request, server: str, name: str, action: Action, arguments: Mapping[str, Any]) -> Call:
        """The call a request asks for. A server that does not exist stands as the empty name."""
        offer = self.catalog.offer(server)
        meta = {key: value for key, value in request.meta.items() if key not in _KEPT_BACK}
        return Call(
            id=call_id(),
            principal=request.principal,
            server=server if offer is not None else "",
            tool=name,
            arguments=arguments,
            given=arguments,
            peer=request.peer,
            era=request.era,
            name=_shown(request.server, server, name, action),
            method=request.method,
            action=action,
            run=_short(meta, "toolgate/run"),
            key=_key(meta),
            meta=meta,
            answers={key: request.params[key] for key in ("inputResponses", "requestState") if key in request.params},
            definition=self.catalog.tool(server, name) if action == "call" else None,
        )


def call_id() -> str:
    """The id of one more call."""
    return f"{_PROCESS}{next(_numbers):016x}"


def _shown(face: str | None, server: str, name: str, action: Action) -> str:
    """What the caller calls it."""
    return name if action == "read" or not server or face == server else f"{server}{SEPARATOR}{name}"


_HANDLERS: dict[str, Callable[[Relay, Request], Awaitable[Result]]] = {
    **dict.fromkeys(_LISTS, Relay._list),
    "tools/call": Relay._call_tool,
    "prompts/get": Relay._get_prompt,
    "resources/read": Relay._read,
    "resources/subscribe": Relay._subscribe,
    "resources/unsubscribe": Relay._subscribe,
    "completion/complete": Relay._complete,
    "server/discover": Relay._discover,
    "ping": Relay._ping,
}
_ANSWERED_HERE = frozenset({*_LISTS, "resources/subscribe", "resources/unsubscribe", "server/discover", "ping"})
"""Requests that reach no control."""
_CACHEABLE = frozenset({*_LISTS, "resources/read", "server/discover"})


def _text(params: Mapping[str, Any], key: str) -> str:
    value = params.get(key)
    if not isinstance(value, str) or not value:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {key!r} must be a string that is not empty.")
    return value


def _mapping(params: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = params.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise RpcError(INVALID_PARAMS, f"Invalid params: {key!r} must be an object.")
    return value


def _key(meta: Mapping[str, Any]) -> str | None:
    """The idempotency key: the agent's own, else the one that Claude Code sends."""
    for name in ("toolgate/key", "claudecode/toolUseId"):
        key = _short(meta, name)
        if key is not None and key.startswith(_OUR_KEYS):
            raise RpcError(
                INVALID_PARAMS, f"Invalid params: _meta[{name!r}] cannot begin with {' or '.join(_OUR_KEYS)}."
            )
        if key is not None:
            return key
    return None


def _short(meta: Mapping[str, Any], key: str) -> str | None:
    value = meta.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _KEY_LIMIT or not value.isprintable():
        raise RpcError(
            INVALID_PARAMS,
            f"Invalid params: _meta[{key!r}] must be 1 to {_KEY_LIMIT} printable characters.",
        )
    return value

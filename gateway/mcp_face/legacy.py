"""The legacy era (up to 2025-11-25): the SDK keeps sessions and streams; a middleware answers from raw dicts."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

import anyio
import orjson
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.context import CallNext as SdkNext
from mcp.server.context import HandlerResult
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

from gateway.call import Principal, Result
from gateway.catalog import Catalog
from gateway.errors import Unrecorded
from gateway.mcp_face.audience import LIST_CHANGED, MAX_URIS, Audience, Listener
from gateway.mcp_face.capabilities import capabilities, instructions
from gateway.mcp_face.http import BodyTooLarge, Headers, read_body, replayed, respond
from gateway.mcp_face.legacy_peer import LegacyPeer, Message
from gateway.mcp_face.relay import Relay, Request
from gateway.mcp_face.replay import RETRY_MS, Replay, SessionLog, current
from gateway.mcp_face.wire import (
    CLIENT_CAPABILITIES_KEY,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    LOG_LEVEL_KEY,
    LOG_LEVELS,
    PARSE_ERROR,
    REFUSED,
    SERVER_INFO,
    RpcError,
    is_message,
    unrecorded_error,
)
from gateway.strict import parse_exactly

log = logging.getLogger("toolgate.face")

_NOT_ONE_MESSAGE = "Body must be a single JSON-RPC request, notification or response"
_PRINCIPAL = "toolgate.principal"
_SESSION = b"mcp-session-id"
_SESSIONS = 256
"""Sessions one agent may have open at once on one face."""
_MODERN_ONLY = frozenset({"server/discover", "subscriptions/listen"})


class Legacy:
    """One face's legacy side: an SDK server and its sessions."""

    def __init__(
        self,
        face: str | None,
        relay: Relay,
        catalog: Catalog,
        audience: Audience,
        watch: Callable[[], Awaitable[None]],
        *,
        max_body: int,
        patience: float,
    ) -> None:
        self.face = face
        self._relay = relay
        self._catalog = catalog
        self._audience = audience
        self._watch = watch
        self._max_body = max_body
        self._patience = patience
        server: Server[Any] = Server(SERVER_INFO["name"], version=SERVER_INFO["version"])
        server.middleware.append(self._answer)
        self._manager = StreamableHTTPSessionManager(
            server, Replay(), retry_interval=RETRY_MS, max_request_body_size=max_body
        )
        self._logs: dict[str, SessionLog] = {}
        self._sessions: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        # The SDK binds a session to its user: another token gets "Session not found".
        token = AccessToken(token="", client_id=principal.agent, scopes=[], subject=principal.token)
        known = {**scope, "user": AuthenticatedUser(token), _PRINCIPAL: principal}
        if scope["method"] == "POST":
            try:
                body = await read_body(Headers.of(scope), receive, self._max_body)
                message, judged = parse_exactly(body)
            except BodyTooLarge:
                return await respond(send, 413)
            except ValueError as error:
                return await respond(send, 400, _plain_error(RpcError(PARSE_ERROR, f"Parse error: {error}")))
            if not is_message(message):
                return await respond(send, 400, _plain_error(RpcError(INVALID_REQUEST, _NOT_ONE_MESSAGE)))
            # The SDK reads what was judged, not what came.
            asgi, receive = replayed(known, judged, receive)
            known = dict(asgi)
        session = _session_of(scope["headers"])
        if session:
            current.set(self._logs.get(session) or SessionLog())
            await self._hand_over(known, receive, send)
        else:
            await self._open(known, receive, send, principal.agent)
        return None

    async def _open(self, scope: Scope, receive: Receive, send: Send, agent: str) -> None:
        """Let a client open a session, within bounds. The SDK keeps one whose `initialize` was refused: we do not."""
        try:
            self._relay.admit(agent)
        except RpcError as error:
            return await respond(send, 429, _plain_error(error))
        if self._sessions[agent] >= _SESSIONS:
            text = f"Too many open sessions: {agent} may have {_SESSIONS}. Close one first."
            return await respond(send, 503, _plain_error(RpcError(REFUSED, text)))
        current.set(SessionLog())
        opened = ""

        async def watch(message: MutableMapping[str, Any]) -> None:
            nonlocal opened
            if message["type"] == "http.response.start":
                opened = _session_of(message["headers"])
            await send(message)

        await self._hand_over(scope, receive, watch)
        transport = self._manager._server_instances.get(opened)
        if transport is not None and opened not in self._logs:
            await self._manager._discard_session(opened, transport)
        return None

    async def _hand_over(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def once(message: MutableMapping[str, Any]) -> None:
            nonlocal answered
            if answered:
                return  # the SDK answers once more when the session ends while its request is under way
            answered = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        # A message that comes while its session ends is answered 202 and then finds nobody.
        with contextlib.suppress(anyio.ClosedResourceError, anyio.BrokenResourceError):
            await self._manager.handle_request(scope, receive, once)

    async def _answer(self, ctx: ServerRequestContext[Any, Any], call_next: SdkNext) -> HandlerResult:
        context = ctx
        if context.request_id is None:
            return await call_next(context)
        assert context.request is not None
        principal: Principal = context.request.scope[_PRINCIPAL]
        if context.method == "initialize":
            return await self._initialize(context, call_next)
        connection = context.session._connection
        if not connection.initialize_accepted and context.method != "ping":
            raise MCPError(code=INVALID_PARAMS, message="Send initialize first.")
        if context.method in _MODERN_ONLY:
            raise MCPError(code=-32601, message="Method not found", data=context.method)
        try:
            if context.method == "logging/setLevel":
                self._relay.admit(principal.agent)
                return _set_level(context)
            result = await self._relay.answer(self._request(context, principal))
            await self._subscriptions(context, principal)
            return result
        except RpcError as error:
            raise _sdk_error(error) from None
        except Unrecorded as refused:
            raise _sdk_error(unrecorded_error(refused)) from None
        except Exception:
            log.exception("a request failed inside the gateway")
            raise MCPError(code=INTERNAL_ERROR, message="The gateway itself failed to answer this request.") from None

    async def _initialize(self, context: ServerRequestContext[Any, Any], call_next: SdkNext) -> HandlerResult:
        result = await call_next(context)
        if not isinstance(result, dict):
            return result
        told: dict[str, Any] = {
            "capabilities": capabilities(self._catalog, self.face, "legacy"),
            "serverInfo": SERVER_INFO,
        }
        if (text := instructions(self._catalog, self.face)) is not None:
            told["instructions"] = text
        self._attend(context)
        return {**result, **told}

    def _request(self, context: ServerRequestContext[Any, Any], principal: Principal) -> Request:
        params: Mapping[str, Any] = context.params or {}
        given = params.get("_meta") or {}
        if not isinstance(given, Mapping):
            raise RpcError(INVALID_PARAMS, "Invalid params: '_meta' must be an object.")
        declared = context.session.client_capabilities
        told = declared.model_dump(by_alias=True, mode="json", exclude_none=True) if declared is not None else {}
        level = context.session._connection.state.get("level", "debug")
        assert context.request is not None
        traced = Headers.of(context.request.scope).traced(given)
        meta = {**traced, CLIENT_CAPABILITIES_KEY: told, LOG_LEVEL_KEY: level}
        return Request(
            principal=principal,
            server=self.face,
            era="legacy",
            method=context.method,
            params=params,
            peer=LegacyPeer(context, LOG_LEVELS.index(level), self._patience),
            meta=meta,
        )

    def _attend(self, context: ServerRequestContext[Any, Any]) -> None:
        """Let a new session hear of changes for as long as it lives.

        The SDK tells of a session's end only through its connection's exit stack.
        """
        assert context.request is not None
        session: Any = context.session
        connection = session._connection
        # A session's own stream is written by a task of its own, so that a slow client delays nobody.
        send, receive = anyio.create_memory_object_stream[Message](256)

        def deliver(method: str, params: dict[str, Any]) -> None:
            with contextlib.suppress(anyio.WouldBlock, anyio.ClosedResourceError, anyio.BrokenResourceError):
                send.send_nowait(Message(method=method, params=params))

        principal: Principal = context.request.scope[_PRINCIPAL]
        listener = Listener(principal.agent, self.face, frozenset(LIST_CHANGED))
        connection.state["listener"] = listener
        self._audience.join(listener, deliver)
        self._logs[connection.session_id] = current.get()
        self._sessions[principal.agent] += 1
        connection.exit_stack.callback(self._sessions.subtract, [principal.agent])
        connection.exit_stack.callback(self._audience.leave, listener)
        connection.exit_stack.callback(send.close)
        connection.exit_stack.callback(self._logs.pop, connection.session_id, None)
        assert self._manager._task_group is not None
        self._manager._task_group.start_soon(self._tell, session, receive)

    async def _tell(self, session: Any, messages: anyio.abc.ObjectReceiveStream[Message]) -> None:
        """Pass on news for as long as a session lives; then upstreams need not watch what only it subscribed to."""
        try:
            async with messages:
                async for message in messages:
                    await session.send_notification(message)
            await self._watch()
        except Exception:  # of this session only: the task group holds all of them
            log.exception("a session could not be told of a change")

    async def _subscriptions(self, context: ServerRequestContext[Any, Any], principal: Principal) -> None:
        if context.method not in ("resources/subscribe", "resources/unsubscribe"):
            return
        uri = str((context.params or {}).get("uri"))
        pair = (self._relay.lists.locate(principal.agent, self.face, uri), uri)
        listener: Listener = context.session._connection.state["listener"]
        if context.method == "resources/subscribe" and len(listener.uris) >= MAX_URIS:
            raise RpcError(INVALID_PARAMS, f"At most {MAX_URIS} resources can be subscribed to in one session.")
        (listener.uris.add if context.method == "resources/subscribe" else listener.uris.discard)(pair)
        await self._watch()


def _set_level(context: ServerRequestContext[Any, Any]) -> Result:
    level = (context.params or {}).get("level")
    if level not in LOG_LEVELS:
        raise RpcError(INVALID_PARAMS, f"Invalid params: 'level' must be one of {', '.join(LOG_LEVELS)}.")
    context.session._connection.state["level"] = level
    return {}


def _sdk_error(error: RpcError) -> MCPError:
    return MCPError(code=error.code, message=error.message, data=error.data)


def _session_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    return next((value for name, value in headers if name.lower() == _SESSION), b"").decode("latin-1")


def _plain_error(error: RpcError) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "id": None, "error": error.body()})

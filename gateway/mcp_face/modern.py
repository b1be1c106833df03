"""The modern era (2026-07-28): each POST is one request, answered by JSON, or by SSE once there is more to say.

Our own reading of the wire, on dicts and bytes, because `tools/call` comes this way and is what is frequent.
The SDK's own validators (`mcp.shared.inbound`) judge envelope and headers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from mcp_types import methods as spec
from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from gateway.bridge import answerable
from gateway.call import OWN, Principal
from gateway.catalog import Catalog
from gateway.errors import StaleState, Unrecorded
from gateway.mcp_face.exchange import Exchange
from gateway.mcp_face.forwarding import Forwarding
from gateway.mcp_face.http import BodyTooLarge, Headers, read_body, respond
from gateway.mcp_face.listen import Listen
from gateway.mcp_face.lists import split
from gateway.mcp_face.parking import Parking
from gateway.mcp_face.relay import Relay, Request
from gateway.mcp_face.tasks import METHODS, Tasks
from gateway.mcp_face.wire import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    PROTOCOL_VERSION_KEY,
    RpcError,
    is_id,
    unrecorded_error,
)
from gateway.sdk.inbound import (
    NAME_BEARING_METHODS,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
    unsupported_protocol_version_rejection,
    validate_mcp_param_headers,
)
from gateway.strict import parse_exactly

log = logging.getLogger("toolgate.face")

_VERSION_HEADER = "mcp-protocol-version"
_NOT_ONE_MESSAGE = "Body must be a single JSON-RPC request or notification object"


@dataclass(frozen=True, slots=True)
class Modern:
    """ASGI handler of modern requests; the visitor is known by now."""

    relay: Relay
    catalog: Catalog
    parking: Parking
    listen: Listen
    tasks: Tasks
    max_body: int
    forwarding: Forwarding | None = None

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        headers: Headers,
        principal: Principal,
        server: str | None,
    ) -> None:
        if scope["method"] != "POST":
            return await respond(send, 405, headers=[(b"allow", b"POST")])
        if not headers.accepts_json_and_sse():
            return await respond(send, 406)
        try:
            body = await read_body(headers, receive, self.max_body)
        except BodyTooLarge:
            return await respond(send, 413)
        try:
            message = self._parse(body, headers)
        except RpcError as error:
            return await _reject(send, _id_of(body), error)
        if message is None:
            return await respond(send, 202)
        try:
            if self.forwarding and await self.forwarding.passed_on(message, scope, headers, body, receive, send):
                return None
        except Unrecorded as refused:
            return await _reject(send, message["id"], unrecorded_error(refused))
        exchange = Exchange(message["id"], message["params"]["_meta"], receive, send)
        request = Request(
            principal=principal,
            server=server,
            era="modern",
            method=message["method"],
            params=message["params"],
            peer=exchange,
            meta=headers.traced(message["params"]["_meta"]),
        )
        return await exchange.serve(self._answer(request, exchange, headers))

    async def _answer(self, request: Request, exchange: Exchange, headers: Headers) -> dict[str, Any]:
        try:
            if request.method in METHODS:
                return await self.tasks.answer(request, headers.folded.get("mcp-name"))
            self._check(request, headers)
            if request.method == "subscriptions/listen":
                self.relay.admit(request.principal.agent)
                return await self.listen.serve(request, exchange)
            return await self._work(request, exchange)
        except RpcError:
            raise
        except Unrecorded as refused:
            raise unrecorded_error(refused) from None
        except StaleState as refused:
            raise RpcError(INVALID_PARAMS, str(refused)) from None
        except Exception:
            log.exception("a request failed inside the gateway")
            raise RpcError(INTERNAL_ERROR, "The gateway itself failed to answer this request.") from None

    async def _work(self, request: Request, exchange: Exchange) -> dict[str, Any]:
        """Answer the request; where its upstream may ask the client back, in a way that can be parked."""
        if request.method not in NAME_BEARING_METHODS:
            return await self.relay.answer(request)
        name = request.params.get(NAME_BEARING_METHODS[request.method])
        server = split(str(name), request.server)[0]
        if request.method == "resources/read":
            server = self.relay.lists.locate(request.principal.agent, request.server, str(name))
        offer = self.catalog.offer(server)
        # Behind a tool of our own there may be the call of any upstream, which was waited for.
        may_ask = offer is not None and (offer.era == "legacy" or server == OWN)
        if not may_ask or not answerable(request.meta):
            return await self.relay.answer(request)
        same = orjson.dumps([request.server, request.method, name, request.params.get("arguments")])
        return await self.parking.run(
            request.principal.agent,
            same,
            request.params,
            exchange,
            lambda peer: self.relay.answer(replace(request, peer=peer)),
        )

    def _parse(self, body: bytes, headers: Headers) -> dict[str, Any] | None:
        """The request in `body`, its envelope judged; None for a notification, of which this era has none to heed."""
        try:
            message, _ = parse_exactly(body)
        except ValueError as error:
            raise RpcError(PARSE_ERROR, f"Parse error: {error}") from None
        if (
            not isinstance(message, dict)
            or message.get("jsonrpc") != "2.0"
            or not isinstance(message.get("method"), str)
        ):
            raise RpcError(INVALID_REQUEST, _NOT_ONE_MESSAGE)
        version = headers.get(_VERSION_HEADER)
        if "id" not in message:
            _raise(unsupported_protocol_version_rejection(version))
            return None
        if not is_id(message["id"]):
            raise RpcError(INVALID_REQUEST, _NOT_ONE_MESSAGE)
        if not isinstance(message.get("params", {}), dict):
            raise RpcError(INVALID_REQUEST, "params must be an object")
        repeated = len(headers.folded) != len(headers.pairs)
        duplicated = find_duplicated_routing_header(headers.pairs) if repeated else None
        if duplicated is not None:
            raise RpcError(HEADER_MISMATCH, f"{duplicated} header appears more than once")
        verdict = classify_inbound_request(message, headers=headers.folded)
        if isinstance(verdict, InboundLadderRejection):
            _raise(verdict)
        return message

    def _check(self, request: Request, headers: Headers) -> None:
        """Judge what the envelope check does not: parameters of the method, and headers that mirror arguments."""
        if request.method == "tools/call":
            self._check_mirrored(request, headers)
            return
        try:
            spec.validate_client_request(request.method, request.meta[PROTOCOL_VERSION_KEY], request.params)
        except KeyError:
            raise RpcError(METHOD_NOT_FOUND, "Method not found", request.method) from None
        except ValidationError:
            raise RpcError(INVALID_PARAMS, f"Invalid params for {request.method}") from None

    def _check_mirrored(self, request: Request, headers: Headers) -> None:
        arguments = request.params.get("arguments") or {}
        name = request.params.get("name")
        if not isinstance(name, str) or not isinstance(arguments, Mapping):
            return  # the relay says so
        server, own = split(name, request.server)
        tool = self.catalog.tool(server, own)
        if tool is None or not tool.mirrored:
            return
        if not self.relay.lists.policy().visible(request.principal.agent, server, own, "call"):
            return  # a tool that is hidden is not told from one that is not there
        _raise(validate_mcp_param_headers(tool.definition["inputSchema"], arguments, headers.folded))


def _raise(rejection: InboundLadderRejection | None) -> None:
    if rejection is not None:
        raise RpcError(rejection.code, rejection.message, rejection.data)


def _id_of(body: bytes) -> Any:
    """The id to answer with when the message was rejected; null where there is none to be read."""
    try:
        message, _ = parse_exactly(body)
    except ValueError:
        return None
    identity = message.get("id") if isinstance(message, dict) else None
    return identity if is_id(identity) else None


async def _reject(send: Send, identity: Any, error: RpcError) -> None:
    await respond(send, error.status, orjson.dumps({"jsonrpc": "2.0", "id": identity, "error": error.body()}))

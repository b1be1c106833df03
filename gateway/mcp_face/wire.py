"""Where answers and refusals become MCP, for both eras, and the constants of the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from gateway.call import Call, Era, Result
from gateway.errors import Refused, StaleState, Unrecorded, UpstreamError
from gateway.sdk.inbound import ERROR_CODE_HTTP_STATUS

PROTOCOL_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO_KEY = "io.modelcontextprotocol/clientInfo"
CLIENT_CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
SERVER_INFO_KEY = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL_KEY = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION_KEY = "io.modelcontextprotocol/subscriptionId"
REFUSAL_KEY = "toolgate/refusal"

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
PARSE_ERROR = -32700
RESOURCE_NOT_FOUND = -32002
HEADER_MISMATCH = -32020
URL_ELICITATION_REQUIRED = -32042
REFUSED = 52001
"""Our own code, outside the range the protocol reserves, for refusals of requests that are not tool calls."""

SERVER_INFO = {"name": "toolgate", "title": "Toolgate", "version": version("toolgate")}

LOG_LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")


class RpcError(Exception):
    """A JSON-RPC error to answer with. Its message is written for the client.

    `status` is the HTTP status of the modern era's answer, where it is not the code's usual one.
    """

    def __init__(self, code: int, message: str, data: Any = None, *, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
        self.status = ERROR_CODE_HTTP_STATUS.get(code, 200) if status is None else status

    def body(self) -> dict[str, Any]:
        error = {"code": self.code, "message": self.message}
        return error if self.data is None else {**error, "data": self.data}


def is_message(message: Any) -> bool:
    """Whether this is one JSON-RPC request, notification or response. A bad id is not taken for none."""
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        return False
    identified = is_id(message.get("id"))
    if "method" in message:
        params = message.get("params", {})
        return isinstance(message["method"], str) and isinstance(params, dict) and (identified or "id" not in message)
    if "error" in message:
        error = message["error"]
        told = isinstance(error, dict) and isinstance(error.get("code"), int) and isinstance(error.get("message"), str)
        return told and (identified or message.get("id") is None)
    return identified and isinstance(message.get("result"), dict)


def is_id(identity: Any) -> bool:
    return isinstance(identity, str | int) and not isinstance(identity, bool)


def refusal_result(call: Call, refused: Refused) -> Result:
    """A refused tool call as a result the model reads. Raises RpcError where the protocol wants an error."""
    text = str(refused)
    if isinstance(refused, StaleState):
        raise RpcError(INVALID_PARAMS, text)
    if isinstance(refused, UpstreamError):
        if _protocol_matter(refused.code) or (call.answers and refused.code == INVALID_PARAMS):
            raise RpcError(refused.code, refused.message, refused.data)
        text = (
            f"{call.server} rejected this call of {call.name}: {refused.message}. Correct it before you call again."
            if refused.code == INVALID_PARAMS
            else f"{call.server} failed to run {call.name} and gave no usable reason. It may or may not have taken "
            "effect: look before you repeat it, or go on without it."
        )
    return {"content": [{"type": "text", "text": text}], "isError": True, "_meta": {REFUSAL_KEY: _told(call, refused)}}


def refusal_error(call: Call, refused: Refused) -> RpcError:
    """A refused request that is not a tool call, as a JSON-RPC error."""
    if isinstance(refused, UpstreamError):
        known = _protocol_matter(refused.code) or refused.code in (INVALID_PARAMS, RESOURCE_NOT_FOUND)
        if known:
            return RpcError(refused.code, refused.message, refused.data)
        return RpcError(INTERNAL_ERROR, f"{call.server} failed to answer {call.method} and gave no usable reason.")
    if isinstance(refused, StaleState):
        return RpcError(INVALID_PARAMS, str(refused))
    if refused.reason == "not_found":
        legacy_resource = call.action == "read" and call.era == "legacy"
        code = RESOURCE_NOT_FOUND if legacy_resource else INVALID_PARAMS
        return RpcError(code, str(refused), {"uri": call.tool} if call.action == "read" else None)
    return RpcError(REFUSED, str(refused), _told(call, refused))


def _told(call: Call, refused: Refused) -> dict[str, Any]:
    """What a program may want to know of a refusal; `retry_after` is in seconds and never 0."""
    told: dict[str, Any] = {"reason": refused.reason, "call": call.id}
    if refused.retry_after is not None:
        told["retry_after"] = max(round(refused.retry_after, 3), 0.001)
    return told


def unrecorded_error(refused: Unrecorded) -> RpcError:
    """Nothing may run: not a matter for the model, but for whoever runs the client."""
    return RpcError(INTERNAL_ERROR, str(refused), {"reason": refused.reason}, status=503)


def _protocol_matter(code: int) -> bool:
    """Codes a client has to act on itself: 2026-07-28 reserves -32020..-32099; -32042 is URL elicitation."""
    return -32099 <= code <= -32020


def dressed(result: Result, era: Era, *, cacheable: bool = False) -> Result:
    """`result` with the envelope its era wants, whatever era it came from. Fields unknown to us stay."""
    if era == "modern":
        if cacheable:  # what one agent may read is not for a cache that others share
            return {"resultType": "complete", "ttlMs": 0, **result, "cacheScope": "private"}
        return {"resultType": "complete", **result}
    if "resultType" not in result and "structuredContent" not in result:
        return result
    plain = {key: value for key, value in result.items() if key not in ("resultType", "ttlMs", "cacheScope")}
    meta = plain.get("_meta")
    if isinstance(meta, Mapping) and SERVER_INFO_KEY in meta:
        plain["_meta"] = {key: value for key, value in meta.items() if key != SERVER_INFO_KEY}
        if not plain["_meta"]:
            del plain["_meta"]
    return _with_plain_output(plain)


def _with_plain_output(result: Result) -> Result:
    """Structured content that is no object, which the legacy era has no place for, as text where there is none yet."""
    structured = result.get("structuredContent")
    if structured is None or isinstance(structured, Mapping):
        return result
    told = {key: value for key, value in result.items() if key != "structuredContent"}
    return told if told.get("content") else {**told, "content": [{"type": "text", "text": json.dumps(structured)}]}


def plain_tool(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tool as legacy clients can read it: in that era an output schema is of an object, or there is none."""
    schema = definition.get("outputSchema")
    if schema is None or (isinstance(schema, Mapping) and schema.get("type") == "object"):
        return definition
    return {key: value for key, value in definition.items() if key != "outputSchema"}

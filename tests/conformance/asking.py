"""How a fixture tool asks its client something, whatever era the client speaks.

A legacy client is asked live, on the stream of its request. A modern client gets an `input_required`
result and calls again with the answers, so the handler runs from its start once more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp.types as t
from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

Requests = dict[str, dict[str, Any]]
"""What to ask, by a key of the handler's choice: `{"method": ..., "params": ...}`."""

KINDS: dict[str, tuple[type[Any], type[Any], str]] = {
    "elicitation/create": (t.ElicitRequest, t.ElicitResult, "elicitation"),
    "sampling/createMessage": (t.CreateMessageRequest, t.CreateMessageResult, "sampling"),
    "roots/list": (t.ListRootsRequest, t.ListRootsResult, "roots"),
}
"""Method -> request model, result model, name of the client's capability."""


class InputRequired(Exception):
    """A modern client has not answered yet: `result` asks it to."""

    def __init__(self, result: dict[str, Any]) -> None:
        super().__init__("input required")
        self.result = result


@dataclass(frozen=True, slots=True)
class Asking:
    """Asks the client of one request. `state` is what the handler left with the client a round ago."""

    ctx: ServerRequestContext[Any, Any]
    given: Mapping[str, Any]
    state: str | None

    @classmethod
    def of(cls, ctx: ServerRequestContext[Any, Any], params: t.InputResponseRequestParams) -> Asking:
        return cls(ctx, params.input_responses or {}, params.request_state)

    def supports(self, method: str) -> bool:
        capabilities = self.ctx.session.client_capabilities
        return capabilities is not None and getattr(capabilities, KINDS[method][2]) is not None

    async def __call__(self, requests: Requests, state: str | None = None) -> dict[str, dict[str, Any]]:
        """The answers by key, in wire form.

        Raises InputRequired while a modern client owes one, and MCPError -32021 when the client did not
        declare what a request needs.
        """
        for request in requests.values():
            self._require(request["method"])
        if self.ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            return {key: await self._live(request) for key, request in requests.items()}
        if requests.keys() <= self.given.keys() and self.state == state:
            return {key: _wire(self.given[key]) for key in requests}
        asked: dict[str, Any] = {"resultType": "input_required", "inputRequests": requests}
        raise InputRequired(asked if state is None else {**asked, "requestState": state})

    def _require(self, method: str) -> None:
        if not self.supports(method):
            capability = KINDS[method][2]
            raise MCPError(
                t.MISSING_REQUIRED_CLIENT_CAPABILITY,
                f"This needs a client with the {capability} capability.",
                {"requiredCapabilities": {capability: {}}},
            )

    async def _live(self, request: dict[str, Any]) -> dict[str, Any]:
        asks, answers, _ = KINDS[request["method"]]
        related = ServerMessageMetadata(related_request_id=self.ctx.request_id)
        answer = await self.ctx.session.send_request(asks.model_validate(request), answers, metadata=related)
        return _wire(answer)


Handler = Callable[[ServerRequestContext[Any, Any], Any], Awaitable[dict[str, Any]]]


def answering(handler: Handler) -> Handler:
    """A request handler whose result says whether it is complete or waits for the client."""

    async def answer(ctx: ServerRequestContext[Any, Any], params: Any) -> dict[str, Any]:
        try:
            return {"resultType": "complete", **await handler(ctx, params)}
        except InputRequired as pending:
            return pending.result

    return answer


def form(message: str, properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    """An elicitation of a form; every field is required unless `required` says otherwise."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties) if required is None else required,
    }
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def sampling(prompt: str, max_tokens: int) -> dict[str, Any]:
    message = {"role": "user", "content": {"type": "text", "text": prompt}}
    return {"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": max_tokens}}


def roots() -> dict[str, Any]:
    return {"method": "roots/list", "params": {}}


def _wire(answer: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped

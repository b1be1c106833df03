"""The client of one legacy request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mcp import MCPError
from mcp.server import ServerRequestContext
from mcp.shared.message import ServerMessageMetadata
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.call import STREAM_CLOSED, Result
from gateway.errors import Unbridgeable
from gateway.mcp_face.exchange import rank


class Message(BaseModel):
    """A request or notification to the client, as it is: the SDK's models would drop unknown fields."""

    method: str
    params: dict[str, Any]


class Anything(BaseModel):
    """A client's answer, as it is."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class LegacyPeer:
    """The client of one legacy request: notified and asked on that request's own stream."""

    context: ServerRequestContext[Any, Any]
    level: int
    patience: float

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        if method == "notifications/message" and (rank(params.get("level")) or 0) < self.level:
            return
        if method == STREAM_CLOSED:
            if self.context.close_sse_stream is not None:
                await self.context.close_sse_stream()
            return
        session: Any = self.context.session
        await session.send_notification(Message(method=method, params=params), self.context.request_id)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        session: Any = self.context.session
        about = ServerMessageMetadata(related_request_id=self.context.request_id)
        try:
            answer = await session.send_request(Message(method=method, params=params), Anything, self.patience, about)
        except (MCPError, ValidationError):
            raise Unbridgeable(f"The client gave no proper answer when the tool asked for {method}.") from None
        return dict(answer.model_dump(by_alias=True, mode="json"))

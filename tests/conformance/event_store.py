"""Events of the fixture's streams, kept in memory so that a client can resume a broken one."""

from __future__ import annotations

from dataclasses import dataclass, field

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage


@dataclass(slots=True)
class MemoryEvents(EventStore):
    """Ids are positions in one log of (stream, message); a message of None is a priming event."""

    log: list[tuple[str, JSONRPCMessage | None]] = field(default_factory=list)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self.log.append((stream_id, message))
        return str(len(self.log) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        if not last_event_id.isdecimal() or int(last_event_id) >= len(self.log):
            return None
        seen = int(last_event_id)
        stream = self.log[seen][0]
        for position, (owner, message) in enumerate(self.log[seen + 1 :], start=seen + 1):
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, str(position)))
        return stream

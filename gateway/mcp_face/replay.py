"""What a legacy client missed while its stream was closed (SEP-1699), kept per session and in bounds."""

from __future__ import annotations

import secrets
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import count

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage

RETRY_MS = 500
"""How long a client whose stream was closed should wait before it comes back for the rest."""

_KEPT = 256


@dataclass(slots=True)
class SessionLog:
    """The last messages of one session's streams: (event id, stream id, message; None for a priming event)."""

    events: deque[tuple[str, str, JSONRPCMessage | None]] = field(default_factory=lambda: deque(maxlen=_KEPT))
    prefix: str = field(default_factory=lambda: secrets.token_hex(8))
    numbers: count[int] = field(default_factory=count)


current: ContextVar[SessionLog] = ContextVar("toolgate_session_log")
"""The session a request belongs to. The SDK names streams by request id, which other sessions use as well."""


class Replay(EventStore):
    """The SDK's event store; each session sees its own log only."""

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        log = current.get()
        identity = f"{log.prefix}-{next(log.numbers)}"
        log.events.append((identity, stream_id, message))
        return identity

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after that event on its stream; the stream, or None when the event is not known here."""
        events = list(current.get().events)
        at = next((at for at, (identity, _, _) in enumerate(events) if identity == last_event_id), None)
        if at is None:
            return None
        stream = events[at][1]
        for identity, owner, message in events[at + 1 :]:
            if owner == stream and message is not None:
                await send_callback(EventMessage(message, identity))
        return stream

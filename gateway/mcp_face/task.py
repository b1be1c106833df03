"""What a ticket looks like as a task of the extension `io.modelcontextprotocol/tasks` (SEP-2663)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gateway.approvals import Ticket
from gateway.call import Result
from gateway.mcp_face.wire import CLIENT_CAPABILITIES_KEY, RpcError
from gateway.times import exactly
from gateway.upstream.wire import TASKS

MISSING_CAPABILITY = -32021

_SOONEST, _LATEST = 1.0, 45.0
"""Seconds between two polls. People who have not decided for long will hardly decide within the next second."""
_PATIENCE = 0.25
"""How much longer a client may wait, for each second that it waited."""

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]


def declared(meta: Mapping[str, Any]) -> bool:
    """Whether the client of this request can be answered with a task."""
    capabilities = meta.get(CLIENT_CAPABILITIES_KEY)
    extensions = capabilities.get("extensions") if isinstance(capabilities, Mapping) else None
    return isinstance(extensions, Mapping) and TASKS in extensions


def undeclared() -> RpcError:
    needed: dict[str, Any] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}
    return RpcError(MISSING_CAPABILITY, "Missing required client capability", needed)


def created(ticket: Ticket, now: float) -> Result:
    """The answer to a call that waits for people: a task, whose id is that of the ticket."""
    return {"resultType": "task", **shape(ticket, "working", now, waits(ticket))}


def shape(ticket: Ticket, status: Status, now: float, message: str | None = None, **payload: Any) -> Result:
    """A task; `payload` is what its status wants beside: `result`, `error` or `inputRequests`."""
    task: Result = {
        "taskId": ticket.id,
        "status": status,
        "createdAt": _time(ticket.opened),
        "lastUpdatedAt": _time(ticket.opened if ticket.decided is None else ticket.decided),
        "ttlMs": max(1, int((ticket.expires - ticket.opened) * 1000)),
        "pollIntervalMs": int(1000 * _interval(ticket, now)),
    }
    if message is not None:
        task["statusMessage"] = message
    return {**task, **payload}


def waits(ticket: Ticket) -> str:
    what = "an answer" if ticket.kind == "request" else "approval"
    return f"Nothing was run yet: waiting for {what} by a person (ticket {ticket.id})."


def _interval(ticket: Ticket, now: float) -> float:
    if ticket.state != "pending":
        return _SOONEST
    return min(_LATEST, max(_SOONEST, (now - ticket.opened) * _PATIENCE))


def _time(at: float) -> str:
    return exactly(at).replace("+00:00", "Z")

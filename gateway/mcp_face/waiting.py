"""How a client waits for people: as a task, by a request that is held, or by coming back with a ticket.

It is decided for each request. Nobody runs a call behind the back of its caller: an approval is a permission, and
whoever waits for it comes for it, through every control again.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gateway.approvals import Approvals, Ticket
from gateway.call import PENDING, Call, CallNext, Principal, Result
from gateway.catalog import Catalog
from gateway.errors import Refused, Unrecorded
from gateway.mcp_face.decided import noted
from gateway.mcp_face.lists import SEPARATOR
from gateway.mcp_face.relay import call_id
from gateway.mcp_face.task import created, declared
from gateway.mcp_face.wire import refusal_result
from gateway.settings import ApprovalSettings
from gateway.traces import span
from gateway.upstream.wire import progress_token

_LEASE = "toolgate/lease"
_SAID = frozenset({"toolgate/confidence", "toolgate/reason"})
"""What reviewers were told of a call before they decided: it cannot be said otherwise afterwards."""
_OF_THE_CALL = frozenset({"toolgate/run", "toolgate/key"})
"""What a request says in `_meta` of its own call, and not of another that it waits for."""


@dataclass(slots=True)
class Waiting:
    """The controls, and the wait for people around them. `valid`: whether somebody may still call."""

    run: CallNext
    approvals: Approvals
    settings: ApprovalSettings
    catalog: Catalog
    valid: Callable[[Principal], bool]
    clock: Callable[[], float] = time.time
    held: set[asyncio.Timeout] = field(default_factory=set)
    """The patience of each request that is held."""
    holding: Counter[str] = field(default_factory=Counter)
    """How many requests are held, by agent."""
    leaving: bool = False

    async def __call__(self, call: Call) -> Result:
        """The answer to a call; a gated one is decided on before it comes, or the answer is a task, or says that it
        waits.
        """
        result = await self.run(call)
        name = pending(result)
        if name is None:
            return result
        tasks = call.era == "modern" and declared(call.meta)
        with span("toolgate.wait"):
            ticket = await (self.approvals.wait(name, 0) if tasks else self._hold(call, name))
        if ticket is not None and self.valid(call.principal):
            return await self.redeem(call, ticket)
        waits = await self.approvals.store.look(partial(self.approvals.get, name)) if tasks else None
        return result if waits is None else created(waits, self.clock())

    async def redeem(self, call: Call, ticket: Ticket) -> Result:
        """Come for what was decided: the call's own result, or the refusal of one that may not be made, as a result.

        `call` is the one that its client waits with. Raises RpcError and Unrecorded.
        """
        redeemed = self._redeemed(call, ticket)
        try:
            result = await self.run(redeemed)
            return result if ticket.kind == "request" or pending(result) is not None else noted(result, ticket)
        except Unrecorded:
            raise
        except Refused as refused:
            return refusal_result(redeemed, refused)

    def close(self) -> None:
        """The gateway ends: have every held request answered that it waits, and hold no more."""
        self.leaving = True
        for patience in tuple(self.held):
            with contextlib.suppress(RuntimeError):  # it is at its end already
                patience.reschedule(0)

    def _redeemed(self, call: Call, ticket: Ticket) -> Call:
        """The call that the ticket is about, as made by the client that waits for it."""
        if ticket.kind == "request":  # nothing runs: the tool that waits says what was answered
            return replace(call, id=call_id())
        same = (call.server, call.tool) == (ticket.server, ticket.tool)
        return replace(
            call,
            id=call_id(),
            server=ticket.server if self.catalog.offer(ticket.server) is not None else "",
            tool=ticket.tool,
            name=call.name if same else f"{ticket.server}{SEPARATOR}{ticket.tool}",
            arguments=ticket.sent,
            given=ticket.sent,
            definition=self.catalog.tool(ticket.server, ticket.tool),
            run=ticket.run,
            key=ticket.key,
            ticket=ticket.id,
            confidence=ticket.confidence or 0.0,
            meta=_without(call.meta, _SAID if same else _dropped(call, ticket)),
        )

    async def _hold(self, call: Call, ticket: str) -> Ticket | None:
        """The ticket once it is decided; None when it is not by the time that a client may be kept waiting.

        An agent that has as many requests held as tickets may wait is not kept waiting: each costs memory.
        """
        agent = call.principal.agent
        crowded = self.holding[agent] >= self.settings.pending
        telling: asyncio.Task[None] | None = None
        if (token := progress_token({"_meta": call.meta})) is not None:
            telling = asyncio.ensure_future(self._tell(call, token, ticket))
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0 if self.leaving or crowded else self.settings.hold) as patience:
                    self.held.add(patience)
                    self.holding[agent] += 1
                    return await self.approvals.wait(ticket, self.settings.hold + 1)
            return None
        finally:
            self.held.discard(patience)
            self.holding[agent] -= 1
            if telling is not None:
                telling.cancel()

    async def _tell(self, call: Call, token: str | int, ticket: str) -> None:
        """Say now and then that the call waits, so that its client does not give it up."""
        started = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(self.settings.progress)
            waited = asyncio.get_running_loop().time() - started
            params: dict[str, Any] = {
                "progressToken": token,
                # It has to grow, and what the call itself tells later begins anew: so these are small.
                "progress": waited / 1_000_000,
                "message": f"Waiting for a person's approval (ticket {ticket}), {waited:.0f} seconds so far.",
            }
            await call.peer.notify("notifications/progress", params)


def pending(result: Result) -> str | None:
    """The ticket that an answer of the gateway's own says to wait for."""
    meta = result.get("_meta")
    name = meta.get(PENDING) if isinstance(meta, dict) else None
    return name if isinstance(name, str) else None


def _dropped(call: Call, ticket: Ticket) -> frozenset[str]:
    """What of the `_meta` of `call` is not of the call which it waits for. A lease is of a run."""
    return _SAID | _OF_THE_CALL | (frozenset() if call.run == ticket.run else {_LEASE})


def _without(meta: Mapping[str, Any], dropped: frozenset[str]) -> dict[str, Any]:
    return {key: value for key, value in meta.items() if key not in dropped}

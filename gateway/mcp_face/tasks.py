"""Tickets as tasks: `tasks/get`, `tasks/update`, `tasks/cancel`, and who listens to them (SEP-2663).

The id of a task is that of its ticket. Who asks for one that was approved comes for it: the call is then run beside the
request, once, and what came of it is told by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gateway.approvals import Approvals, Ticket
from gateway.bridge import ROUNDS
from gateway.call import OWN, Call, Result
from gateway.controls.gate import AWAIT
from gateway.errors import Refused, TicketUnknown, Unbridgeable, Unrecorded
from gateway.mcp_face.parking import Parked
from gateway.mcp_face.relay import Relay, Request
from gateway.mcp_face.task import declared, shape, undeclared, waits
from gateway.mcp_face.waiting import Waiting, pending
from gateway.mcp_face.wire import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    REFUSAL_KEY,
    RpcError,
    dressed,
    refusal_result,
)

log = logging.getLogger("toolgate.face")

METHODS = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})

_GRACE = 0.25
"""Seconds that a request waits for a call that is being run: most are done by then."""
_FINISHED = 256
"""Ended calls whose answers are kept in memory. Those of others are asked of the ledger again."""
_SEEN = 4096
_LONG = 86_400.0

Told = Callable[[Result], None]


@dataclass(slots=True)
class Tasks:
    """Answers requests about tasks, of clients that declared the extension."""

    relay: Relay
    waiting: Waiting
    patience: float
    """Seconds a client has to answer a question of the tool."""
    clock: Callable[[], float] = time.time
    works: dict[str, Parked] = field(default_factory=dict)
    """Calls of tasks, under way or ended, by ticket."""
    seen: dict[str, Ticket] = field(default_factory=dict)
    """Tickets that clients asked for and that are pending, as far as was heard: many are asked for again and again."""

    def __post_init__(self) -> None:
        self.approvals.watch(self._heard)

    @property
    def approvals(self) -> Approvals:
        return self.waiting.approvals

    def _heard(self, ticket: Ticket) -> None:
        if ticket.id in self.seen:
            self._see(ticket)

    def _see(self, ticket: Ticket) -> None:
        self.seen.pop(ticket.id, None)
        if ticket.state == "pending":
            if len(self.seen) >= _SEEN:
                self.seen.clear()
            self.seen[ticket.id] = ticket

    async def answer(self, request: Request, named: str | None) -> Result:
        """`named` is what the header Mcp-Name says. Raises RpcError and Unrecorded."""
        self.relay.admit(request.principal.agent)
        if not declared(request.meta):
            raise undeclared()
        ticket = await self._ticket(request, request.params.get("taskId"))
        if named is not None and named != ticket.id:
            raise RpcError(HEADER_MISMATCH, "The header Mcp-Name is not the taskId")
        match request.method:
            case "tasks/get":
                return dressed(await self._state(request, ticket), "modern")
            case "tasks/update":
                self._update(ticket, request.params.get("inputResponses"))
            case _:
                await self._withdraw(request, ticket)
        return {"resultType": "complete"}

    async def known(self, request: Request, ids: Sequence[str]) -> list[str]:
        """Those that are tasks of this agent. Raises RpcError when the client did not declare the extension."""
        if not declared(request.meta):
            raise undeclared()
        return await self.approvals.store.look(lambda: [each for each in ids if self._own(request, each) is not None])

    @contextlib.contextmanager
    def followed(self, request: Request, ids: Sequence[str], told: Told) -> Iterator[None]:
        """Have `told` hear the state of these tasks as it changes. Who listens comes for what was approved."""
        tasks = [asyncio.ensure_future(self._follow(request, each, told)) for each in ids]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    async def close(self) -> None:
        """Cancel what is being run."""
        tasks = [work.task for work in self.works.values() if work.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, request: Request, identity: str, told: Told) -> None:
        try:
            ticket = await self._ticket(request, identity)
            while ticket.state == "pending":
                ticket = await self.approvals.wait(ticket.id, _LONG) or ticket
            while True:
                state = await self._state(request, ticket)
                told(state)
                if state["status"] in ("completed", "failed", "cancelled"):
                    return
                if (work := self.works.get(ticket.id)) is not None and not work.waiting:
                    await work.step()
                else:
                    await asyncio.sleep(_GRACE)
        except Unrecorded:
            log.warning("the state of task %s cannot be told now", ticket.id)

    async def _ticket(self, request: Request, identity: Any) -> Ticket:
        ticket = await self.approvals.store.look(partial(self._own, request, identity))
        if ticket is None:
            raise RpcError(INVALID_PARAMS, "There is no such task")
        return ticket

    def _own(self, request: Request, identity: Any) -> Ticket | None:
        """The ticket of this agent; another's is none."""
        if not isinstance(identity, str) or not 0 < len(identity) <= 64:
            return None
        return self.approvals.of_agent(identity, request.principal.agent)

    async def _state(self, request: Request, ticket: Ticket) -> Result:
        """A task as it stands; one that was decided is run first, if it was not."""
        now = self.clock()
        if ticket.state == "pending":
            return shape(ticket, "working", now, waits(ticket))
        if ticket.why == "withdrawn":
            return shape(ticket, "cancelled", now, "Withdrawn before anybody decided; nothing was run.")
        work = self.works.get(ticket.id) or self._start(request, ticket)
        if not await work.step(_GRACE):
            if work.waiting:
                return shape(ticket, "input_required", now, inputRequests=work.questions())
            return shape(ticket, "working", now, "It was decided, and is being run.")
        return self._ended(ticket, work, now)

    def _ended(self, ticket: Ticket, work: Parked, now: float) -> Result:
        assert work.task is not None
        error = None if work.task.cancelled() else work.task.exception()
        if isinstance(error, RpcError):
            return shape(ticket, "failed", now, error.message, error=error.body())
        if work.task.cancelled() or isinstance(error, Unrecorded):
            self.works.pop(ticket.id, None)
            return shape(ticket, "working", now, "It cannot be run at this moment, and is tried again.")
        if error is not None:
            log.error("the call of task %s failed inside the gateway", ticket.id, exc_info=error)
            text = "The gateway itself failed to run this call."
            return shape(ticket, "failed", now, text, error=RpcError(INTERNAL_ERROR, text).body())
        result = work.task.result()
        told = result.get("_meta", {}).get(REFUSAL_KEY, {}) if isinstance(result.get("_meta"), dict) else {}
        if pending(result) is not None or (isinstance(told, dict) and told.get("reason") == "in_flight"):
            self.works.pop(ticket.id, None)
            return shape(ticket, "working", now, waits(ticket))
        return shape(ticket, "completed", now, result=dressed(result, "modern"))

    def _start(self, request: Request, ticket: Ticket) -> Parked:
        call = self._call(request, ticket)
        work = Parked(ticket.agent, b"", self.patience, None, None)
        work.task = asyncio.ensure_future(self._run(replace(call, peer=work), ticket, work))
        work.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if nobody asks again
        self.works[ticket.id] = work
        ended = [name for name, each in self.works.items() if each.task is not None and each.task.done()]
        for name in ended[: len(ended) - _FINISHED] if len(ended) > _FINISHED else ():
            del self.works[name]
        return work

    def _call(self, request: Request, ticket: Ticket) -> Call:
        """The call that this client waits with."""
        made = partial(self.relay.call, replace(request, method="tools/call"))
        if ticket.kind == "request":
            return made(OWN, AWAIT, "call", {"ticket": ticket.id})
        return made(ticket.server, ticket.tool, "call", ticket.sent)

    async def _run(self, call: Call, ticket: Ticket, work: Parked) -> Result:
        """Come for the call; what its tool asks goes out with the task, and the answers come with `tasks/update`."""
        for _ in range(ROUNDS):
            result = await self.waiting.redeem(call, ticket)
            if result.get("resultType") != "input_required":
                return result
            asked: dict[str, Any] = result.get("inputRequests") or {}
            try:
                told = [work.ask(str(each.get("method")), dict(each.get("params") or {})) for each in asked.values()]
                answers = dict(zip(asked, await asyncio.gather(*told), strict=True))
            except Refused as refused:
                return refusal_result(call, refused)
            given: dict[str, Any] = {"inputResponses": answers} if answers else {}
            if "requestState" in result:
                given["requestState"] = result["requestState"]
            call = replace(call, answers=given)
        return refusal_result(call, Unbridgeable(f"{call.name} asked for more input {ROUNDS} times, and was given up."))

    def _update(self, ticket: Ticket, answers: Any) -> None:
        if (work := self.works.get(ticket.id)) is not None:
            work.deliver(answers)

    async def _withdraw(self, request: Request, ticket: Ticket) -> None:
        """What is decided goes on: its call may have been sent."""
        if ticket.state == "pending":
            work = partial(self.approvals.withdraw, ticket=ticket.id, agent=request.principal.agent)
            try:
                self._see(await self.approvals.store.transact(work))
            except TicketUnknown:
                raise RpcError(INVALID_PARAMS, "There is no such task") from None

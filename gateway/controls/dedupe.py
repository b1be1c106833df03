from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.call import Call, CallNext, Peer, Result
from gateway.errors import KeyConflict, Unbridgeable
from gateway.fingerprint import fingerprint_of
from gateway.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Audience:
    """Those who wait for one call, as its peer: the first of them hears and is asked what the upstream says."""

    peers: dict[str, Peer] = field(default_factory=dict)
    """By the id of the call that each of them made."""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        for peer in list(self.peers.values())[:1]:
            await peer.notify(method, params)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        for peer in list(self.peers.values())[:1]:
            return await peer.ask(method, params)
        raise Unbridgeable(f"{method} needs a client, and the client has left.")


@dataclass(slots=True, eq=False)
class Flight:
    """A call under way, in a task of its own."""

    call: Call
    fingerprint: str
    audience: Audience
    work: asyncio.Task[Result]
    abandoned: bool = False

    def serves(self, call: Call) -> bool:
        """Whether its answer is one to this call, which has the same key and arguments."""
        return not self.abandoned and self.call.era == call.era and self.call.answers == call.answers

    @property
    def outlives(self) -> bool:
        """Whether it runs to its end with nobody waiting: an agent that gave its run and a key comes back for the
        answer, also after it was killed, and could do nothing with an outcome that is not known.
        """
        return self.call.run is not None and "toolgate/key" in self.call.meta

    async def wait(self, call: Call) -> Result:
        """Its answer, or the refusal it raises. Cancelled while nobody else waits, it is cancelled too, unless it
        outlives those who wait for it.
        """
        waiting = self.audience.peers
        waiting[call.id] = call.peer
        try:
            return await asyncio.shield(self.work)
        except asyncio.CancelledError:
            if len(waiting) == 1 and not self.outlives:
                self.abandoned = True
                self.work.cancel()
                await asyncio.wait([self.work])
            raise
        finally:
            del waiting[call.id]


@dataclass(frozen=True, slots=True)
class Dedupe:
    """Calls of one agent with one key are one call: those that come while it is under way get its answer.

    When the client of one leaves, the call goes on for the others. Calls of tickets, whose arguments a reviewer may
    have edited, are not told apart here but where they are recorded.
    """

    metrics: Metrics
    under_way: dict[tuple[str, str], Flight] = field(default_factory=dict)

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        key = f"ticket/{call.ticket}" if call.key is None and call.ticket is not None else call.key
        if key is None:
            return await call_next(call)
        agent, digest = call.principal.agent, fingerprint_of(call)
        flight = self.under_way.get((agent, key))
        if flight is None or flight.abandoned:
            return await self._launch((agent, key), call, digest, call_next).wait(call)
        if flight.fingerprint != digest and flight.call.ticket is None and call.ticket is None:
            raise KeyConflict(
                "The idempotency key of this call stands for another one, which is under way: other arguments, or "
                "another tool. Nothing was run; a call that is not a repeat needs a key of its own."
            )
        if flight.fingerprint != digest or not flight.serves(call):
            return await call_next(call)
        self.metrics.deduplicated.labels(agent, "joined").inc()
        return await flight.wait(call)

    def _launch(self, place: tuple[str, str], call: Call, digest: str, call_next: CallNext) -> Flight:
        audience = Audience()

        async def work() -> Result:
            return await call_next(replace(call, peer=audience))

        flight = Flight(call, digest, audience, asyncio.create_task(work()))
        self.under_way[place] = flight

        def ended(_: asyncio.Task[Result]) -> None:
            if self.under_way.get(place) is flight:
                del self.under_way[place]

        flight.work.add_done_callback(ended)
        return flight

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.call import Call, CallNext, Peer, Result
from gateway.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """Give the upstream one deadline: the tool's, else the server's, or the caller's where that is shorter.

    `seconds` tells a server's time-out. Time in which the client is being asked something does not count.
    """

    seconds: Callable[[str], float]

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        limit = call.definition.facts.timeout if call.definition is not None else None
        if limit is None:
            limit = self.seconds(call.server)
        shortened = False
        wanted = call.meta.get("toolgate/timeout")
        if isinstance(wanted, int | float) and not isinstance(wanted, bool) and 0 < wanted < limit:
            limit, shortened = float(wanted), True
        timer = asyncio.timeout(limit)
        try:
            async with timer:
                # A caller's own impatience says nothing about the upstream: the breaker must not see it.
                blamed = None if shortened else timer
                return await call_next(replace(call, timer=blamed, peer=Pausing(call.peer, timer)))
        except TimeoutError:
            if not timer.expired():
                raise
            raise DeadlineExceeded(
                f"{call.server} did not answer {call.name} within {limit:g} seconds, and was told to stop. "
                "It is not known whether the call took effect: look before you repeat it."
            ) from None


@dataclass(slots=True)
class Pausing:
    """A peer whose answers do not cost the upstream its time, however many it is asked for at once."""

    peer: Peer
    timer: asyncio.Timeout
    asking: int = 0
    left: float | None = None
    """Seconds that remain once every question is answered."""

    async def notify(self, method: str, params: dict[str, Any]) -> None:
        await self.peer.notify(method, params)

    async def ask(self, method: str, params: dict[str, Any]) -> Result:
        clock = asyncio.get_running_loop().time
        if self.asking == 0 and not self.timer.expired() and (due := self.timer.when()) is not None:
            self.left = due - clock()
            self.timer.reschedule(None)
        self.asking += 1
        try:
            return await self.peer.ask(method, params)
        finally:
            self.asking -= 1
            if self.asking == 0 and self.left is not None:
                with contextlib.suppress(RuntimeError):  # the call is over
                    self.timer.reschedule(clock() + self.left)

"""How long to wait between attempts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

FIRST = 0.2
LONGEST = 2.0


@dataclass(slots=True)
class Pace:
    """Waits that double from 0.2 to 2 seconds, each shortened by up to a half at random."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    draw: Callable[[], float] = random.random
    _next: float = field(default=FIRST, init=False)

    def reset(self) -> None:
        self._next = FIRST

    async def wait(self) -> None:
        seconds, self._next = self._next, min(self._next * 2, LONGEST)
        await self.sleep(seconds * (0.5 + self.draw() / 2))

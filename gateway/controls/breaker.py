from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gateway.breakers import Breakers
from gateway.call import Call, CallNext, Result
from gateway.errors import CircuitOpen, UpstreamFailed
from gateway.metrics import BREAKER_STATES, Metrics

State = Literal["closed", "open", "half-open"]


@dataclass(slots=True)
class Circuit:
    """One upstream's circuit: its last outcomes (True: failed) and when it opened (seconds, monotonic)."""

    recent: deque[bool]
    state: State = "closed"
    opened: float = 0.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """Fail fast while an upstream fails; let one probe through after `cooldown` seconds, and close when it works.

    Opens at `failures` failed attempts among the last `window`. A failure is an upstream that does not answer;
    an error it answers with, a refusal of ours, or a client that left is none. Replicas open and close together:
    `others` are told, and heard.
    """

    window: int
    failures: int
    cooldown: float
    metrics: Metrics
    clock: Callable[[], float] = time.monotonic
    circuits: dict[str, Circuit] = field(default_factory=dict)
    others: Breakers | None = None

    def __post_init__(self) -> None:
        if self.others is not None:
            self.others.heard(self.adopt)

    async def __call__(self, call: Call, call_next: CallNext) -> Result:
        circuit = self.circuits.get(call.server) or self._new(call.server)
        probing = self._enter(circuit, call.server)
        failed: bool | None = None
        try:
            result = await call_next(call)
            failed = False
            return result
        except UpstreamFailed as error:
            failed = not error.answered
            raise
        except asyncio.CancelledError:
            failed = True if call.timer is not None and call.timer.expired() else None
            raise
        finally:
            self._leave(circuit, call.server, failed, probing)

    def adopt(self, server: str, state: State, news: bool) -> None:
        """Another replica opened or closed its circuit. One that is being probed here is judged by that probe; one
        that may have been opened long ago is probed by the next call.
        """
        circuit = self.circuits.get(server) or self._new(server)
        if circuit.state == "half-open":
            return
        if state == "open":
            circuit.opened = self.clock() - (0.0 if news else self.cooldown)
        if state != circuit.state:
            circuit.recent.clear()
            self._become(circuit, server, state)

    def _new(self, server: str) -> Circuit:
        circuit = self.circuits[server] = Circuit(deque(maxlen=self.window))
        return circuit

    def _enter(self, circuit: Circuit, server: str) -> bool:
        """Let the call in, True if as the probe. Raises CircuitOpen."""
        if circuit.state == "closed":
            return False
        rested = self.clock() - circuit.opened
        if circuit.state == "half-open" or rested < self.cooldown:
            wait = max(self.cooldown - rested, 0.1)
            raise CircuitOpen(
                f"{server} has failed repeatedly and is left alone for a moment; nothing was sent. "
                f"Go on with something else, or try again in {wait:.1f} seconds.",
                retry_after=wait,
            )
        self._become(circuit, server, "half-open")
        return True

    def _leave(self, circuit: Circuit, server: str, failed: bool | None, probing: bool) -> None:
        if probing:
            self._become(circuit, server, "closed" if failed is False else "open")
            circuit.recent.clear()
            # A probe that was abandoned says nothing: the next call may probe at once.
            circuit.opened = self.clock() - (self.cooldown if failed is None else 0.0)
            if failed is not None:
                self._tell(circuit, server)
            return
        if failed is None:
            return
        circuit.recent.append(failed)
        if circuit.state == "closed" and failed and sum(circuit.recent) >= self.failures:
            circuit.opened = self.clock()
            self._become(circuit, server, "open")
            self._tell(circuit, server)

    def _tell(self, circuit: Circuit, server: str) -> None:
        if self.others is not None and circuit.state != "half-open":
            self.others.tell(server, circuit.state)

    def _become(self, circuit: Circuit, server: str, state: State) -> None:
        circuit.state = state
        self.metrics.breaker.labels(server).set(BREAKER_STATES[state])

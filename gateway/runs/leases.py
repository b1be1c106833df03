"""What one process knows of runs: calls under way in it, and when their leases run out.

A lease is counted by a clock that nobody sets, so that a jump of the wall clock undoes nothing. Where several replicas
share the store, each writes down which runs with a lease it heard of, and sees what the others wrote: that
`runs.touched` is another, whatever it is, is a sign of life.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gateway.call import OWN, Call
from gateway.errors import InvalidArguments, Throttled

META = "toolgate/lease"
LONGEST = 2_592_000.0
"""Thirty days: a run that may rest longer needs no lease."""

_MOST = 10_000
"""Runs of one agent that may have a lease at once: each is kept in memory, and looked at again and again."""

GRACE = 1.0
"""Seconds beyond a lease: a decision that another process made, and that renews it, is heard of within them."""
SHARED_GRACE = 3.0
"""The same where replicas hear of calls: each says so once a second, and is looked at once a second."""

_HELD = 10.0
"""Seconds between two looks whether a ticket still holds a run: its decision is heard of, and renews the lease."""

RunKey = tuple[str, str]
"""Agent and run: a run's name is the agent's own."""


@dataclass(slots=True)
class Lease:
    """`seconds` of silence are allowed; `ends` is when they are over. `held`: something kept it from running out.
    `touched` is that of the store when it was last looked at; `heard`: something happened here since.
    """

    seconds: float
    ends: float
    held: bool = False
    touched: float | None = None
    heard: bool = False


@dataclass(frozen=True, slots=True)
class Leases:
    """Belongs to the event loop. What it knows may be too much: the store decides whether a run is undone."""

    clock: Callable[[], float] = time.monotonic
    grace: float = GRACE
    leases: dict[RunKey, Lease] = field(default_factory=dict)
    leased: Counter[str] = field(default_factory=Counter)
    """Runs with a lease, by agent."""
    calls: Counter[RunKey] = field(default_factory=Counter)
    changing: Counter[RunKey] = field(default_factory=Counter)
    """Calls under way; of them, those that may change something."""

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """A call is under way. Raises InvalidArguments when it asks for a lease that is none, and Throttled."""
        lease = lease_of(call)
        if call.run is None or call.undoes is not None:
            yield
            return
        key = (call.principal.agent, call.run)
        if lease is not None:
            self.admit(key, lease)
            self.grant(key, lease)
        counted = [] if call.server == OWN else [self.calls, *([] if call.reads else [self.changing])]
        for counter in counted:
            counter[key] += 1
        try:
            yield
        finally:
            for counter in counted:
                counter[key] -= 1
                if not counter[key]:
                    del counter[key]
            self.renew(key)

    def admit(self, key: RunKey, seconds: float) -> None:
        """Raises Throttled when this lease would be one more than the agent may have."""
        agent, _ = key
        if seconds > 0 and key not in self.leases and self.leased[agent] >= _MOST:
            raise Throttled(
                f"{agent} has {_MOST} runs with a lease, and can have no more. Nothing was run; finish runs that are "
                "done, or leave the lease out."
            )

    def grant(self, key: RunKey, seconds: float) -> None:
        """The run is undone after so many seconds of silence; 0: never."""
        if seconds > 0:
            self.leased[key[0]] += key not in self.leases
            touched = self.leases[key].touched if key in self.leases else None
            self.leases[key] = Lease(seconds, self.clock() + seconds, touched=touched, heard=True)
        else:
            self.forget(key)

    def renew(self, key: RunKey) -> None:
        """The run has a full lease again, if it has one at all."""
        if (lease := self.leases.get(key)) is not None:
            lease.ends, lease.held, lease.heard = self.clock() + lease.seconds, False, True

    def hold(self, key: RunKey) -> None:
        """A ticket keeps the run from running out now; once it does not, it has a full lease again."""
        if (lease := self.leases.get(key)) is not None:
            lease.ends, lease.held = self.clock() + _HELD, True

    def put_off(self, seconds: float) -> None:
        """For so long the process stood still: no agent could be heard, so that none was silent."""
        for lease in self.leases.values():
            lease.ends += seconds

    def forget(self, key: RunKey) -> None:
        if self.leases.pop(key, None) is not None:
            self.leased[key[0]] -= 1

    def follow(self, found: Iterable[tuple[RunKey, float, float]]) -> None:
        """All runs with a lease, as they stand in the store: key, seconds, `touched`."""
        gone = set(self.leases)
        for key, seconds, touched in found:
            gone.discard(key)
            lease = self.leases.get(key)
            if lease is None or lease.seconds != seconds:
                self.grant(key, seconds)
                self.leases[key].heard = False
            elif lease.touched not in (None, touched):
                lease.ends, lease.held = self.clock() + seconds, False
            self.leases[key].touched = touched
        for key in gone:
            self.forget(key)

    def heard(self) -> list[RunKey]:
        """Runs with a lease that something happened to since this was asked last, or that have a call under way."""
        found = [key for key, lease in self.leases.items() if lease.heard or self.calls[key]]
        for key in found:
            self.leases[key].heard = False
        return found

    def overdue(self) -> list[tuple[RunKey, bool]]:
        """Runs that have been silent for too long, with no call under way; and whether each was held when last seen."""
        late = self.clock() - self.grace
        return [(key, lease.held) for key, lease in self.leases.items() if lease.ends <= late and not self.calls[key]]


def lease_of(call: Call) -> float | None:
    """The lease that a call asks for, in seconds. Raises InvalidArguments."""
    value: Any = call.meta.get(META)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        raise InvalidArguments(
            f"_meta[{META!r}] must be a number of seconds from 0 to {LONGEST:.0f}. Nothing was run; correct it."
        )
    if call.run is None:
        raise InvalidArguments(
            f"_meta[{META!r}] is the lease of a run, and this call names none. Nothing was run; "
            "give _meta['toolgate/run'] too, or leave the lease out."
        )
    return float(value)

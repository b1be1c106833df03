"""Read-only mode: while it is on, for one agent or for all, only tools declared read-only run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.store import Store


@dataclass(frozen=True, slots=True)
class Switch:
    """Read-only mode that is on: for `agent`, the empty name is the whole gateway; since when, and by whom."""

    agent: str
    by: str
    at: float


class Modes:
    """The switches in `store`, kept in memory; changes of other processes are noticed by `refresh_if_changed`."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store = store

    def read_only(self, agent: str) -> bool:
        """Whether this agent may only read now."""
        return False

    def switch(self, agent: str, on: bool, by: str) -> bool:
        """Turn it on or off, with its event; False when it stood so already."""
        raise NotImplementedError

    def refresh_if_changed(self) -> bool:
        return False

    def listed(self) -> list[Switch]:
        """What is on, the whole gateway first."""
        raise NotImplementedError

    def close(self) -> None:
        return None

"""The definition of each tool as it was first seen, or last accepted: what differs from it is not offered.

A server that changes what a tool says or takes, after people looked at it, does not reach a model unseen.
What is known is kept in memory; what the gateway writes goes through a thread, so that a disk that hangs
costs the tools that were not seen before and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.changes import Changes, bump
from gateway.events import event_row, insert_events
from gateway.store import Store
from gateway.tables import pins

log = logging.getLogger("toolgate.pins")

PINNED = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")
"""The fields of a definition that are pinned: all that a model or a person is shown, and what calls are checked by."""
MAX_DEFINITION = 131_072
"""Characters of a definition, as kept."""
MAX_TOOLS = 2_000
"""Tools one server may ever have shown: names come from servers, and their pins are never forgotten."""

_PIN = (pins.c.server, pins.c.tool, pins.c.digest, pins.c.offered_digest, pins.c.why, pins.c.revision)


@dataclass(frozen=True, slots=True)
class Pin:
    """One tool's pin. Digests are SHA-256, hex. `digest` None: never accepted; `offered` None: nothing waits."""

    server: str
    tool: str
    digest: str | None
    offered: str | None = None
    why: str | None = None
    """Why what is offered is withheld, in words."""
    revision: int = 1

    def offering(self, digest: str | None, why: str | None) -> Self:
        """The pin once this is offered instead; None: what is pinned is offered again."""
        return replace(self, offered=digest, why=why, revision=self.revision + 1)

    @property
    def deed(self) -> str:
        """What the event of the last change says: `recorded`, `withheld`, `restored`."""
        if self.offered is not None:
            return "withheld"
        return "recorded" if self.revision == 1 else "restored"


@dataclass(frozen=True, slots=True)
class PinRow:
    """A pin as it may be shown, with both definitions as JSON. `at`: its last change, seconds since the epoch."""

    pin: Pin
    definition: str | None
    offered: str | None
    at: float

    @property
    def state(self) -> str:
        """`pinned` or `withheld`."""
        return "pinned" if self.pin.offered is None else "withheld"


def definition_of(tool: Mapping[str, Any]) -> str:
    """What is pinned of a tool: JSON in ASCII with sorted keys, so that equal definitions are equal texts."""
    pinned = {field: tool[field] for field in PINNED if field in tool}
    return json.dumps(pinned, sort_keys=True, separators=(",", ":"))


def digest_of(definition: str) -> str:
    return hashlib.sha256(definition.encode()).hexdigest()


class Pins:
    """The pins in `store`, kept in memory. What touches the disk longer is called beside the event loop."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._changes = Changes(store, "pins")
        self._known: dict[str, dict[str, Pin]] = {}
        self.refresh_if_changed()

    def close(self) -> None:
        self._changes.close()

    def of(self, server: str) -> Mapping[str, Pin]:
        """The server's pins by tool."""
        return self._known.get(server, {})

    def refresh_if_changed(self) -> bool:
        """Read the pins again if the store changed since the last look; True if they did.

        What was known stays in force while the store cannot be read.
        """
        try:
            rows = self._changes.news(select(*_PIN))
        except SQLAlchemyError as error:
            log.error("pins cannot be read (%s): changes wait until they can", type(error).__name__)
            return False
        if rows is None:
            return False
        known: dict[str, dict[str, Pin]] = {}
        for pin in (Pin(*row[: len(_PIN)]) for row in rows):
            known.setdefault(pin.server, {})[pin.tool] = pin
        self._known = known
        return True

    def rows(self) -> list[PinRow]:
        """Every pin, by server and tool."""
        shown = select(*_PIN, pins.c.definition, pins.c.offered, pins.c.at).order_by(pins.c.server, pins.c.tool)
        return [PinRow(Pin(*row[: len(_PIN)]), *row[len(_PIN) :]) for row in self._store.read(shown)]

    def write(self, changes: Iterable[tuple[Pin, str]]) -> None:
        """Record what the gateway saw, each change with its event: a pin as it is from now on, and what is offered.

        A pin that somebody else changed meanwhile stays as it is. Raises SQLAlchemyError; then nothing is recorded.
        """

        def work(connection: Connection) -> None:
            for pin, definition in changes:
                values: dict[str, Any] = {"offered_digest": pin.offered, "offered": pin.offered and definition}
                if pin.revision == 1:
                    values |= {"server": pin.server, "tool": pin.tool, "digest": pin.digest}
                    values["definition"] = pin.digest and definition
                self._change(connection, pin, values, {"deed": pin.deed, "why": pin.why})

        self._store.run(work)

    def accept(self, pin: Pin, by: str) -> bool:
        """Pin what waits; False when it changed meanwhile. `by` is who says so. Raises SQLAlchemyError."""
        accepted = replace(pin, digest=pin.offered, offered=None, why=None, revision=pin.revision + 1)
        values = {"digest": pin.offered, "definition": pins.c.offered, "offered_digest": None, "offered": None}
        told = {"deed": "accepted", "previous": pin.digest, "by": by}
        return self._store.run(lambda connection: self._change(connection, accepted, values, told))

    def _change(self, connection: Connection, pin: Pin, values: Mapping[str, Any], told: Mapping[str, Any]) -> bool:
        """Bring one row to this pin's revision, and write the event that says so."""
        at = self._clock()
        values = {**values, "why": pin.why, "at": at, "revision": pin.revision}
        same = (pins.c.server == pin.server) & (pins.c.tool == pin.tool)
        there = connection.execute(select(pins.c.revision).where(same)).scalar_one_or_none() or 0
        if there != pin.revision - 1:
            return False
        connection.execute(insert(pins).values(values) if not there else update(pins).where(same).values(values))
        bump(connection, "pins")
        data = {**told, "digest": pin.offered or pin.digest}
        insert_events(connection, [event_row(at, "pin", data, server=pin.server, tool=pin.tool)])
        return True

"""Which of the tools a server lists are offered to agents: those with a proper name and the definition pinned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.pins import MAX_DEFINITION, MAX_TOOLS, Pin, definition_of, digest_of
from gateway.rules.tool_names import folded, malformed, posing_as

CHANGED = "its definition is not the one that was pinned"


@dataclass(frozen=True, slots=True)
class Admission:
    """What becomes of one listing. `refused` and `withheld` say why, by name."""

    offered: list[Mapping[str, Any]] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Left out for good: nobody can accept them."""
    withheld: dict[str, str] = field(default_factory=dict)
    """Left out until somebody accepts them."""
    changes: list[tuple[Pin, str]] = field(default_factory=list)
    """Pins to be recorded, each with the definition that is offered now. New tools are offered once theirs is."""


class Known(Protocol):
    """The pins of each server, by tool."""

    def of(self, server: str) -> Mapping[str, Pin]: ...


@dataclass(frozen=True, slots=True)
class Admissions:
    """Judges listings by the pins known. `servers` are all that are configured."""

    pins: Known
    servers: Collection[str]

    def judge(self, server: str, tools: Iterable[Mapping[str, Any]]) -> Admission:
        found, shapes = Admission(), _Shapes(self)
        for tool in tools:
            name = tool["name"]
            try:
                definition = definition_of(tool)
            except ValueError:
                found.refused[name] = "its definition cannot be written down"
                continue
            if malformed(name):
                found.refused[name] = "its name is not 1 to 128 of A-Z, a-z, 0-9, _, . and -"
            elif len(definition) > MAX_DEFINITION:
                found.refused[name] = f"its definition is longer than {MAX_DEFINITION} characters"
            elif (pin := self.pins.of(server).get(name)) is not None:
                self._compare(found, pin, tool, definition)
            elif len(self.pins.of(server)) + len(found.changes) >= MAX_TOOLS:
                found.refused[name] = f"its server has shown more than {MAX_TOOLS} different tools"
            else:
                self._first_sight(found, shapes, server, name, definition)
        return found

    def _compare(self, found: Admission, pin: Pin, tool: Mapping[str, Any], definition: str) -> None:
        digest = digest_of(definition)
        if pin.digest == digest:
            found.offered.append(tool)
            if pin.offered is not None:
                found.changes.append((pin.offering(None, None), definition))
            return
        why = CHANGED if pin.digest is not None or pin.why is None else pin.why
        found.withheld[pin.tool] = why
        if pin.offered != digest:
            found.changes.append((pin.offering(digest, why), definition))

    def _first_sight(self, found: Admission, shapes: _Shapes, server: str, name: str, definition: str) -> None:
        digest = digest_of(definition)
        posed, twin = posing_as(server, name, self.servers), shapes.twin(name)
        if posed is None and twin is None:
            pin = Pin(server, name, digest)
            shapes.add(server, name)
        else:
            why = (
                f"its name begins like those of the tools of {posed}"
                if posed
                else f"its name looks like that of {twin}"
            )
            pin = Pin(server, name, None, digest, why)
            found.withheld[name] = why
        found.changes.append((pin, definition))


class _Shapes:
    """The tools accepted so far, by what their names look like. Collected when a new tool asks for it."""

    def __init__(self, admissions: Admissions) -> None:
        self._admissions = admissions
        self._tools: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        self._collected = False

    def add(self, server: str, name: str) -> None:
        self._tools[folded(name)].append((server, name))

    def twin(self, name: str) -> str | None:
        """A tool, `server/name`, that this name may be taken for: spelled otherwise, for of equal names each is told
        by its server.
        """
        if not self._collected:
            self._collected = True
            for server in self._admissions.servers:
                for pin in self._admissions.pins.of(server).values():
                    if pin.digest is not None:
                        self.add(server, pin.tool)
        return next((f"{server}/{other}" for server, other in self._tools[folded(name)] if other != name), None)

"""Which rules can match an object: looked up, not searched.

Patterns are exact or end in one `*`, so a text is found by itself and by its beginnings. There are as many
look-ups as patterns have different lengths, however many rules there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from gateway.policy.rules import Rule

V = TypeVar("V")


class Segments(Generic[V]):
    """Values by pattern. `make` makes the value of a pattern that is new."""

    def __init__(self, make: Callable[[], V]) -> None:
        self._make = make
        self._exact: dict[str, V] = {}
        self._prefixes: dict[int, dict[str, V]] = {}

    def at(self, pattern: str) -> V:
        """The value of this pattern, to be added to."""
        prefix = pattern[:-1]
        known = self._prefixes.setdefault(len(prefix), {}) if pattern[-1] == "*" else self._exact
        key = prefix if pattern[-1] == "*" else pattern
        if key not in known:
            known[key] = self._make()
        return known[key]

    def find(self, text: str) -> Iterator[V]:
        """The values of all patterns that match this text."""
        if text in self._exact:
            yield self._exact[text]
        for length, known in self._prefixes.items():
            if length <= len(text) and (value := known.get(text[:length])) is not None:
                yield value


class Index:
    """The places, in a list of rules, of those that match an object. Never changes once made."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._actions: dict[str, Segments[Segments[list[int]]]] = {}
        for place, rule in enumerate(rules):
            servers = self._actions.setdefault(rule.action, Segments(lambda: Segments(list)))
            servers.at(rule.server).at(rule.name).append(place)

    def find(self, server: str, name: str, action: str) -> tuple[int, ...]:
        """In ascending order. Nothing empty ever matches."""
        servers = self._actions.get(action)
        if servers is None or not server or not name:
            return ()
        found = [places for names in servers.find(server) for places in names.find(name)]
        return tuple(sorted(place for places in found for place in places))

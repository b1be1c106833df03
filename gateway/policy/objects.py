"""The objects that rules tell apart: each name they spell out, and one stand-in for every glob.

Rules name objects exactly or by a prefix, so between them they divide all names into finitely many regions,
and a decision is the same for every name of one region. Trying one name of each tries them all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count

from gateway.policy.rules import Action, Rule, seg


@dataclass(frozen=True, slots=True, order=True)
class Object:
    """Something rules may name. `label` is what to call it: its name, or the glob that it stands in for."""

    action: Action
    server: str
    name: str
    label: str

    @property
    def target(self) -> str:
        return f"{self.server}/{self.label}"

    @property
    def is_glob(self) -> bool:
        return self.name != self.label


def objects(
    rules: Iterable[Rule], servers: Collection[str], tools: Mapping[str, Collection[str]] | None = None
) -> list[Object]:
    """One object for each region that `rules` make on `servers`; `tools` are known ones by server."""
    named: dict[tuple[Action, str], set[str]] = {}
    for server, names in (tools or {}).items():
        named.setdefault(("call", server), set()).update(names)
    for rule in rules:
        for server in servers:
            if seg(server, rule.server):
                named.setdefault((rule.action, server), set()).add(rule.name)
    return sorted(each for (action, server), names in named.items() for each in _regions(action, server, names))


def covers(outer: str, inner: str) -> bool:
    """Whether every name that the segment `inner` matches is matched by the segment `outer` too."""
    return inner.startswith(outer[:-1]) if outer.endswith("*") else inner == outer


def _regions(action: Action, server: str, names: set[str]) -> Iterator[Object]:
    prefixes = {name[:-1] for name in names if name.endswith("*")}
    exact = {name for name in names if not name.endswith("*")}
    for name in exact:
        yield Object(action, server, name, name)
    for prefix in prefixes:
        narrower = [other for other in prefixes if other != prefix and other.startswith(prefix)]
        yield Object(action, server, _stand_in(prefix, narrower, exact), f"{prefix}*")


def _stand_in(prefix: str, narrower: Collection[str], exact: Collection[str]) -> str:
    """A name that starts with `prefix`, and that neither a narrower prefix nor an exact name speaks of."""
    for number in count():
        name = f"{prefix}{chr(0x4E00 + number) if number else ''}any"
        if name not in exact and not any(name.startswith(other) for other in narrower):
            return name
    raise AssertionError("names are endless")

"""One pass over the bytes of an answer: quick, and for most answers all there is to do."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from gateway.rules.markers import marked
from gateway.rules.results import blob, parts
from gateway.rules.secrets import Secrets
from gateway.rules.skeleton import plain

_CONTROL = re.compile(rb"\\(?:u00|b)")
_LEADS = (0xC2, 0xCD, 0xD8, 0xE1, 0xE2, 0xE3, 0xEF, 0xF0, 0xF3)
"""First bytes, in UTF-8, of all that is invisible."""


@dataclass(slots=True)
class Findings:
    """What was found in the course of one call. `masked`, `stripped` and `withheld` count by place."""

    masked: Counter[str] = field(default_factory=Counter)
    stripped: Counter[str] = field(default_factory=Counter)
    markers: tuple[str, ...] = ()
    cut: int | None = None
    """Bytes of what was too large."""
    withheld: Counter[str] = field(default_factory=Counter)

    def kinds(self) -> list[str]:
        """Which there are, as metrics name them."""
        found = {
            "masked": self.masked,
            "stripped": self.stripped,
            "cut": self.cut,
            "marker": self.markers,
            "withheld": self.withheld,
        }
        return [kind for kind, value in found.items() if value]


@dataclass(frozen=True, slots=True)
class Look:
    """What a value holds, and its size in bytes. `hidden`: there may be hidden characters in it."""

    size: int
    secret: bool
    hidden: bool
    markers: tuple[str, ...]

    @classmethod
    def at(cls, value: dict[str, Any], secrets: Secrets) -> Self:
        """Raises TypeError when the value is nested too deep to be written."""
        dump = orjson.dumps(value)
        readings = plain(dump)
        secret = secrets.within(readings) or _in_data(value, dump, secrets)
        return cls(len(dump), secret, _may_hide(dump), marked(dump, readings))


def _in_data(value: dict[str, Any], dump: bytes, secrets: Secrets) -> bool:
    if b'"data"' not in dump and b'"blob"' not in dump:
        return False
    return any(secrets.within_data(data) for part in parts(value) if (data := blob(part)))


def _may_hide(dump: bytes) -> bool:
    """Whether `unicode.strip` may find something: a control, which JSON escapes, or what begins as the invisible do."""
    if b"\x7f" in dump or _CONTROL.search(dump):
        return True
    return not dump.isascii() and any(lead in dump for lead in _LEADS)

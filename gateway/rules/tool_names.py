"""Names of tools: what one may look like, and which look like another's."""

from __future__ import annotations

import re
from collections.abc import Iterable

SEPARATOR = "__"
_OWN = "toolgate"
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_SEPARATORS = str.maketrans("", "", "-_.")
_TWINS = str.maketrans("01i", "oll")


def malformed(name: str) -> bool:
    """Whether this is no name of a tool: 1 to 128 of A-Z, a-z, 0-9, `_`, `.` and `-` (MCP 2025-11-25)."""
    return _NAME.fullmatch(name) is None


def folded(name: str) -> str:
    """What two names have in common that are easily taken for each other."""
    return name.lower().translate(_SEPARATORS).replace("rn", "m").translate(_TWINS)


def posing_as(server: str, name: str, servers: Iterable[str]) -> str | None:
    """Another server, or the gateway itself, whose tools on the face of all servers are named like this one."""
    prefix, separator, _ = name.partition(SEPARATOR)
    return prefix if separator and prefix != server and prefix in (_OWN, *servers) else None

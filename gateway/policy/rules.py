"""One rule of a policy file: its effect, what it names, and how names are matched."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Action = Literal["call", "read", "get"]
Effect = Literal["allow", "deny"]

ACTIONS: dict[str, Action] = {"tool": "call", "resource": "read", "prompt": "get"}
"""The key that names a rule's object in a file, and the action it stands for."""

CURRENCY = re.compile("[A-Z]{3}")
"""A currency itself, where a budget could also name the argument that holds one."""

GLOB_LIKE = re.compile(r"[?\[\]{}]")


@dataclass(frozen=True, slots=True)
class Rule:
    """What `subject` (an agent, or `role:<name>`) may or may not do. `server` and `name` may end in one `*`.

    `where` maps argument names to JSON Schemas, None when the rule holds for any arguments. `bind` maps
    argument names to what the gateway fills in: `"claims.NAME"`, or `{"const": value}`. `shadow`: decided and
    logged, not enforced. `gate`, `limit` and `budget` are as written, None when absent. `place` is file and line.
    """

    id: str
    subject: str
    effect: Effect
    action: Action
    server: str
    name: str
    where: Mapping[str, Any] | None = None
    bind: Mapping[str, Any] | None = None
    shadow: bool = False
    gate: Mapping[str, Any] | None = None
    limit: tuple[str, ...] | None = None
    budget: tuple[Mapping[str, Any], ...] | None = None
    place: str = field(default="", compare=False)

    def matches(self, server: str, name: str, action: str) -> bool:
        """Whether the rule speaks of this object and action, conditions aside."""
        return action == self.action and seg(server, self.server) and seg(name, self.name)


def seg(value: str, pattern: str) -> bool:
    """Whether `value` equals `pattern`, or starts as it does up to a trailing `*`. Empty matches nothing."""
    if not value or not pattern:
        return False
    if pattern[-1] == "*":
        return value.startswith(pattern[:-1])
    return value == pattern


def nearest(word: str, known: Collection[str]) -> str:
    """A fix that names the known word most like `word`, or all of them when none is like it."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    if close:
        return f'did you mean "{close[0]}"?'
    return "use one of: " + (", ".join(sorted(known)) or "(there is none)")


def target_fault(kind: str, target: object, servers: Collection[str]) -> tuple[str, str] | None:
    """Message and fix when `target` is no "server/name" this gateway can match exactly, else None."""
    if not isinstance(target, str):
        return "is not a string", f'write {kind} = "server/name"'
    server, slash, name = target.partition("/")
    if not slash or not server or not name:
        return (
            f'"{_shown(target)}" is not "server/name"',
            'name both, for example "payment/*" or "*/delete_*"',
        )
    if not target.isprintable() or target != target.strip():
        return f'"{_shown(target)}" holds blanks at an end or invisible characters', "type the name again"
    for segment in (server, name):
        if "*" in segment[:-1]:
            return (
                f'"{target}" has a "*" that is not the last character of its segment',
                'use exact names or one trailing "*" per segment; write several rules if that is too wide',
            )
    if kind != "resource" and GLOB_LIKE.search(name):
        return (
            f'"{target}" holds a character of a glob or regex',
            'only one trailing "*" per segment is a glob',
        )
    if not any(seg(known, server) for known in servers):
        return f'"{target}" names the server "{server}", which gateway.toml does not', nearest(server, servers)
    return None


def _shown(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")[:80]

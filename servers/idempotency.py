"""A repeated request with the same idempotency key gets the stored reply instead of a second effect."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel, Field

from servers.database import Database

R = TypeVar("R", bound=BaseModel)

META_KEY = "toolgate/key"
LONGEST = 200

IdempotencyKey = Annotated[
    str | None,
    Field(
        description=(
            "Any text that is unique to this action. A repeat with the same key and arguments returns the "
            f"first reply and does nothing more. Without it the `_meta` entry {META_KEY} counts, if any."
        ),
        min_length=1,
        max_length=LONGEST,
    ),
]

REPLIES = """CREATE TABLE replies (
    tool TEXT NOT NULL, key TEXT NOT NULL, arguments TEXT NOT NULL, reply TEXT NOT NULL,
    PRIMARY KEY (tool, key)
) STRICT"""
"""The table `once` needs."""


def key_of(argument: str | None, context: Context[Any, Any]) -> str | None:
    """The idempotency key of a request: its argument, else its `_meta` entry, else None."""
    if argument is not None:
        return argument
    key = dict(context.request_context.meta or {}).get(META_KEY)
    if key is not None and not (isinstance(key, str) and 0 < len(key) <= LONGEST):
        raise ToolError(f"_meta[{META_KEY!r}] must be a text of 1 to {LONGEST} characters; nothing was done.")
    return key


def once(
    database: Database,
    tool: str,
    key: str | None,
    arguments: Mapping[str, object],
    effect: Callable[[sqlite3.Connection], R],
    kind: type[R],
) -> R:
    """The reply of `effect`, which runs in one transaction with the record of its reply.

    A key seen before gives the stored reply, or a ToolError if the arguments differ. An effect that
    raises leaves nothing behind, so its key may be used again. Without a key every request counts.
    """
    asked = json.dumps(arguments, sort_keys=True)
    with database.transaction() as tx:
        stored = tx.execute("SELECT arguments, reply FROM replies WHERE tool = ? AND key = ?", (tool, key)).fetchone()
        if stored is None:
            reply = effect(tx)
            if key is not None:
                values = (tool, key, asked, reply.model_dump_json())
                tx.execute("INSERT INTO replies (tool, key, arguments, reply) VALUES (?, ?, ?, ?)", values)
            return reply
    if stored["arguments"] != asked:
        raise ToolError(
            f"The idempotency key {key!r} was already used for {tool} with other arguments; "
            "nothing was done. Repeat the first arguments, or use a new key for a new action."
        )
    return kind.model_validate_json(stored["reply"])

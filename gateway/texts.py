"""Texts for PostgreSQL, by its driver."""

from __future__ import annotations

from typing import Any

from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown


class _Text(StrDumperUnknown):
    """PostgreSQL has no character NUL, which SQLite takes: a replacement character stands for it."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd"))


def without_nul(connection: Any, _record: Any) -> None:
    """For each new connection: no value fails because of a character."""
    connection.adapters.register_dumper(str, _Text)

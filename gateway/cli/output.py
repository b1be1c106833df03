"""What verbs print: aligned tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, columns aligned. Unprintable characters become `?`: names come from servers."""
    cells = [[_printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def moment(at: float | None) -> str | None:
    """Seconds since the epoch as ISO 8601 in UTC, to the second."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)

"""What verbs print: aligned tables and JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from gateway.rules.unicode import strip

_BLANK = "\u2800"
"""Braille without a dot: it counts as seen, and is not."""


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under a header, columns aligned. Unprintable characters become `?`: names come from servers."""
    cells = [[_printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def visible(text: str) -> str:
    """The text with every character that cannot be seen, but for line ends, as an escape."""
    return "".join(c if c == "\n" or (c.isprintable() and strip(c) == c != _BLANK) else ascii(c)[1:-1] for c in text)


def one_line(text: str) -> str:
    """The same, line ends too."""
    return visible(text).replace("\n", "\\n")


def no(arguments: argparse.Namespace, why: str, fix: str) -> int:
    """Say why a verb did not do its deed, and what to do; the exit status."""
    told = " ".join(visible(why).split())
    print(f"toolgate {arguments.verb} {arguments.deed}: {told}. Fix: {fix}", file=sys.stderr)
    return 1


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)

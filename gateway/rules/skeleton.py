"""What is left of text when everything that can be slipped between its letters is taken away.

A secret, or a phrase, that was split by blanks, line breaks or invisible characters, written in full-width letters,
in capitals or with JSON's escapes has the skeleton it has in plain.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

_LOWER = bytes(range(256)).lower()
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_SIGNS = b"!#$%&'()*+,-./:;<=>?@[]^_`{|}~"
"""Visible ASCII, but for quote and backslash, which JSON writes differently."""
_ESCAPE = r"\\(?:u[0-9A-Fa-f]{4}|[nrtbf])"


@dataclass(frozen=True, slots=True)
class Alphabet:
    """The ASCII characters that a skeleton is made of; capitals count as small letters."""

    dropped: bytes
    pieces: re.Pattern[str]
    """A run of such characters, or one character beyond ASCII, which may stand for some."""
    pieces_between_escapes: re.Pattern[str]
    """The same, with JSON's escapes read as what they stand for: they are written in the text itself."""

    @classmethod
    def of(cls, kept: bytes) -> Self:
        run = f"[{re.escape(kept.decode())}]+|[^\\x00-\\x7f]"
        dropped = bytes(set(range(256)) - set(kept))
        return cls(dropped, re.compile(run), re.compile(f"{_ESCAPE}|{run}"))

    def skeleton(self, plain: bytes) -> bytes:
        return plain.translate(_LOWER, self.dropped)

    def of_text(self, text: str) -> bytes:
        return self.skeleton(unicodedata.normalize("NFKD", text).encode("utf-8", "replace"))

    def traced(self, text: str) -> list[tuple[bytes, list[int], list[int]]]:
        """Skeletons of `text`, each with where its pieces begin: in the skeleton, and in the text."""
        readings = (self.pieces, self.pieces_between_escapes) if "\\" in text else (self.pieces,)
        return [self._trace(text, pieces) for pieces in readings]

    def _trace(self, text: str, pieces: re.Pattern[str]) -> tuple[bytes, list[int], list[int]]:
        parts: list[bytes] = []
        starts, places, length = [], [], 0
        for match in pieces.finditer(text):
            piece = match[0]
            if piece[0] == "\\":
                continue
            part = piece.lower().encode() if piece.isascii() else _folded(piece, self)
            if part:
                parts.append(part)
                starts.append(length)
                places.append(match.start())
                length += len(part)
        return b"".join(parts), starts, places


LETTERS = Alphabet.of(_LETTERS)
"""Letters and digits: also a word split by signs has the skeleton it has in plain."""
VISIBLE = Alphabet.of(_LETTERS + _SIGNS)


@lru_cache(maxsize=4096)
def _folded(char: str, alphabet: Alphabet) -> bytes:
    return alphabet.of_text(char)


def plain(dump: bytes) -> tuple[bytes, ...]:
    """The text in a JSON document as orjson writes it, all of it in a row, compatible characters made one.

    Two readings where the text itself holds backslashes: as it is, and with the escapes in it taken for real.
    """
    if b"\\" not in dump:
        return (_compatible(dump),)
    if b"\\\\" not in dump:
        return (_compatible(_unescaped(dump)),)
    readings = dump.replace(b"\\\\", b""), dump.replace(b"\\\\", b"\\")
    return tuple(_compatible(_unescaped(reading)) for reading in readings)


def _unescaped(dump: bytes) -> bytes:
    dump = dump.replace(b"\\n", b"  ")  # most escapes are this one, and as many bytes are put in place soonest
    first, *rest = dump.split(b"\\")
    return first + b"".join([_after_escape(part) for part in rest]) if rest else dump


def _after_escape(part: bytes) -> bytes:
    """What follows a backslash, less the rest of the escape; it may be none where the text itself holds it."""
    if part[:1] == b"u":
        return part[5:] if part[1:5].isalnum() else part
    return part[1:] if part[:1] in b"rtbf" else part


def _compatible(text: bytes) -> bytes:
    """Without characters that are another spelling of ASCII ones. Whole text has none; most text is."""
    if text.isascii() or unicodedata.is_normalized("NFKC", told := text.decode()):
        return text
    return unicodedata.normalize("NFKD", told).encode()

"""Secrets that are known, found wherever they stand and however they are written, and masked.

Only what is known is looked for: no pattern guesses what a secret might look like. Each is known in the ways that
tools, libraries and people write it by habit: as it is, backwards, in Base64 (at each of its three offsets), hex,
percent-encoding, HTML and JSON, all of it also split, full-width or in other capitals (see `skeleton`).
A cipher, or a code made up to get a secret out, is not seen through.
"""

from __future__ import annotations

import base64
import html
import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, quote_plus

import orjson
from ahocorasick_rs import BytesAhoCorasick, Implementation

from gateway.call import Call
from gateway.rules.skeleton import LETTERS, VISIBLE, Alphabet, plain

MASK = "[masked by toolgate]"
SHORTEST = 8
"""Characters of a secret, in any of its forms: what is shorter is part of too much that is none."""
_FASTEST = 65_536
"""Bytes of needles up to which the fastest automaton is worth its memory, some 256 times as much."""


@dataclass(frozen=True, slots=True)
class Needles:
    """Skeletons to be found in one alphabet."""

    alphabet: Alphabet
    automaton: BytesAhoCorasick

    @classmethod
    def of(cls, alphabet: Alphabet, skeletons: Iterable[bytes], *, once: bool) -> Self:
        needles = sorted(skeletons)
        lasting = not once and sum(map(len, needles)) <= _FASTEST
        how = Implementation.DFA if lasting else Implementation.ContiguousNFA
        return cls(alphabet, BytesAhoCorasick(needles, implementation=how))

    def within(self, text: bytes) -> bool:
        return bool(self.automaton.find_matches_as_indexes(self.alphabet.skeleton(text)))

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Where in `text` they stand: start and end of each."""
        for skeleton, starts, places in self.alphabet.traced(text):
            for _, begin, end in self.automaton.find_matches_as_indexes(skeleton, overlapping=True):
                yield _place(begin, starts, places), _place(end - 1, starts, places) + 1


def _place(at: int, starts: list[int], places: list[int]) -> int:
    """Where in the text the character `at` of its skeleton stands."""
    piece = bisect_right(starts, at) - 1
    # One character may stand for several of the skeleton, as a ligature does.
    last = piece + 1 == len(starts) or places[piece] + at - starts[piece] < places[piece + 1]
    return places[piece] + (at - starts[piece] if last else 0)


@dataclass(frozen=True, slots=True)
class Secrets:
    """A set of secrets. None of it is ever shown: not even its `repr` holds one."""

    needles: tuple[Needles, ...] = ()

    @classmethod
    def of(cls, values: Iterable[str], *, once: bool = False) -> Self:
        """What is too short to be told from other text is left out: see SHORTEST.

        `once`: for one call, so made ready quickly rather than searched for quickly.
        """
        letters, visible = set[bytes](), set[bytes]()
        for form in {form for value in values if len(value) >= SHORTEST for form in _forms(value)}:
            for alphabet, found in ((LETTERS, letters), (VISIBLE, visible)):
                skeleton = alphabet.of_text(form)
                if len(skeleton) >= SHORTEST:
                    found.add(skeleton)
                    break
        pairs = ((LETTERS, letters), (VISIBLE, visible))
        return cls(tuple(Needles.of(alphabet, found, once=once) for alphabet, found in pairs if found))

    def __or__(self, other: Secrets) -> Secrets:
        return Secrets(self.needles + other.needles)

    def within(self, readings: Iterable[bytes]) -> bool:
        """Whether one stands in what `skeleton.plain` read, be it spread over several strings."""
        return any(needles.within(text) for text in readings for needles in self.needles)

    def within_data(self, data: str) -> bool:
        """Whether one stands in what Base64 stands for, be it text or not."""
        try:
            content = base64.b64decode(data)
        except ValueError:
            return False
        try:
            return self.within(plain(orjson.dumps(content.decode())))
        except UnicodeDecodeError:
            return self.within((content,))

    def masked(self, text: str) -> str:
        """`text` with MASK for each; the same object when there is none."""
        if len(text) < SHORTEST and text.isascii():
            return text
        spans = sorted(span for needles in self.needles for span in needles.spans(text))
        if not spans:
            return text
        kept, position = list[str](), 0
        for start, end in spans:
            if start > position or not kept:
                kept += [text[position:start], MASK]
            position = max(position, end)
        return "".join(kept) + text[position:]

    def hidden(self, line: str) -> str:
        """A line for a log, masked."""
        return self.masked(line) if self.within(plain(orjson.dumps(line))) else line


def of_call(secrets: Secrets, call: Call) -> Secrets:
    """`secrets`, and the values of this call's arguments that are declared to be some."""
    declared = call.definition.facts.secrets if call.definition is not None else None
    if not declared:
        return secrets
    given = [call.arguments[name] for name in declared if name in call.arguments]
    return secrets | Secrets.of((text for value in given for text in _texts(value)), once=True)


def _texts(value: Any) -> Iterator[str]:
    """Every string and number in an argument, as text."""
    if isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | int | float):
        yield str(value)


def _forms(value: str) -> Iterator[str]:
    """How one secret may be written. What differs in signs or capitals only need not be said twice."""
    data = value.encode("utf-8", "replace")
    yield value
    yield "".join(char for char in value if char.isascii())  # its skeleton in text that needs no change
    yield value[::-1]
    yield from _base64(data)
    yield data.hex()
    yield "".join(f"x{byte:02x}" for byte in data)
    yield from (quote(value, safe=safe) for safe in ("", "/", "-_.!~*'()"))
    yield quote_plus(value)
    yield "".join(char if char.isalnum() else f"%{ord(char):02x}" for char in value)
    escaped = html.escape(value)
    yield from (escaped, escaped.replace("&#x27;", "&#39;"), escaped.replace("&quot;", "&#34;"))
    yield from ("".join(f"&#{ord(char)};" for char in value), "".join(f"&#x{ord(char):x};" for char in value))
    yield json.dumps(value)
    yield "".join(f"u{ord(char):04x}" for char in value)


def _base64(data: bytes) -> Iterator[str]:
    """The characters that stand for `data` alone, wherever in what was encoded it began."""
    for offset in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            text = encode(b"\0" * offset + data).decode()
            yield text[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]

"""Text that says more than it shows: what is hidden in a string, and the string without it.

Found are tag characters, terminal sequences (ANSI), bidirectional controls that change the order of what is shown, and
invisible characters in runs, inside Latin words or in numbers (UTS 39; "Trojan Source", CVE-2021-42574;
"ASCII smuggling", 2024). In place, and so untouched, are emoji with all they are made of, joiners of scripts that
join, soft hyphens in words, marks of right-to-left text, variants of ideographs. A few strays are tolerated, and so are
control characters that are no sequence, as in text from old code pages; `strip` cuts both.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from gateway.rules.bidi import OVERRIDES, misplaced, right_to_left_letters

STRAYS = 3
"""Invisible characters out of place that a text may have: too few to say anything, and copied text has them."""
_LONGEST_RUN = 5
"""Invisible characters in a row, also where each is in place."""

_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# VT, FF and NEL are white space.
_CONTROL = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_SUSPECT = re.compile(f"[{_CONTROL}{_INVISIBLE}]")
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor (CSI)
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c\x9d]*(?:\x07|\x1b\\|\x9c)"  # titles, links (OSC)
    r"|\x1b[ -~]"
)
_CONTROLS = re.compile(f"[{_CONTROL}]+")
_A_CONTROL = "control characters"
_RUN = re.compile(f"[{_INVISIBLE}]+")
_FLAG = re.compile("[\U000e0061-\U000e007a]{2}[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,3}\U000e007f")
"""What follows a black flag: the code of a region, in tags, and the tag that ends it (UTS 51)."""
_BLACK_FLAG = "\U0001f3f4"
_TAG = re.compile("[\U000e0000-\U000e00ff\U000e01f0-\U000e0fff]")

_JOINERS = "\u200c\u200d"
_MARKS = "\u061c\u200e\u200f"
_FORMATTING = "\u202a-\u202e\u2066-\u2069"
_BREAKS = "\u00ad\u2060"
"""Soft hyphen and word joiner say where a line may break: of use in Latin words too."""
_KEYS = "0123456789#*\u203c\u2049\u3030\u303d\u2139\u24c2"
"""Characters that are no pictures by category, and have an emoji form."""
_FILLERS = "\u115f\u1160\u3164\uffa0"
_LATIN_ENDS = 0x0530
"""Below are Latin, Greek and Cyrillic, whose letters do not join and whose words have spaces between them."""

Finding = tuple[int, int, str | None]
"""Start, end and what it is; None for a stray."""


def hidden(text: str) -> str | None:
    """What is hidden in `text`, in words for a model; None when nothing is."""
    if _plain(text) or not _SUSPECT.search(text):
        return None
    strays = 0
    for start, end, what in _findings(text):
        if what == _A_CONTROL:
            if "\0" in text[start:end]:
                return "NUL characters, which end a text for many programs"
            continue
        if what is not None:
            return what
        strays += end - start
        if strays > STRAYS:
            return "many invisible characters"
    return None


def has_controls(text: str) -> bool:
    """Whether there are control characters in `text`, tabs and line ends aside."""
    return not _plain(text) and _CONTROLS.search(text) is not None


def strip(text: str) -> str:
    """`text` without what is hidden in it, strays included; what is in place stays as it is."""
    for _ in range(4):  # what was between two invisible characters may have kept them in place
        if _plain(text) or not _SUSPECT.search(text):
            return text
        kept, position = [], 0
        for start, end, _what in sorted(_findings(text)):
            kept.append(text[position:start])
            position = max(position, end)
        if position == 0:
            return text
        text = "".join(kept) + text[position:]
    return _SUSPECT.sub("", text)


def _plain(text: str) -> bool:
    """Whether `text` is ASCII with nothing but line breaks and tabs in it: quick, and true of most texts."""
    return text.isascii() and (
        text.isprintable() or text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable()
    )


def _findings(text: str) -> Iterator[Finding]:
    for match in _ANSI.finditer(text):
        yield *match.span(), "terminal control sequences (ANSI)"
    for match in _CONTROLS.finditer(text):
        yield *match.span(), _A_CONTROL
    placed = misplaced(text)
    marks = right_to_left_letters(text) if any(mark in text for mark in _MARKS) else 0
    for match in _RUN.finditer(text):
        first, last = match.span()
        if (
            last - first == 1
            and first not in placed
            and _in_place(text[first - 1 : first], text[first], text[last : last + 1])
        ):
            continue
        for start, end, what in _of_run(text, *match.span(), placed):
            if end - start == 1 and text[start] in _MARKS and marks:
                marks -= 1  # each letter of right-to-left text may have one
                continue
            yield start, end, what


def _of_run(text: str, start: int, end: int, placed: dict[int, str | None]) -> Iterator[Finding]:
    """Findings in one run of invisible characters."""
    run, before, after = text[start:end], text[start - 1 : start], text[end : end + 1]
    if before == _BLACK_FLAG and (flag := _FLAG.match(run)):
        if flag.end() < len(run):
            yield from _of_run(text, start + flag.end(), end, placed)
        return
    if _TAG.search(run):
        yield start, end, "tag characters, which spell invisible text"
        return
    if any(char in OVERRIDES for char in run):
        yield start, end, "bidirectional overrides, which show text in another order"
        return
    bare = [char for char in run if not re.match(f"[{_FORMATTING}]", char)]
    if run == "\ufe0f\u200d" and _pictured(before) and _pictured(after):
        return
    if len(bare) >= 3 or len(run) > _LONGEST_RUN:
        yield start, end, "a run of invisible characters"
        return
    for index in range(start, end):
        if index in placed:
            yield index, index + 1, placed[index]
        elif not re.match(f"[{_FORMATTING}]", text[index]):
            what = _alone(text[index], before, after) if len(bare) == 1 else None
            if what != "":
                yield index, index + 1, what


@lru_cache(8192)
def _in_place(before: str, char: str, after: str) -> bool:
    """Whether a run of one needs no closer look; asked first because it is quick, and usual in long texts."""
    return not _TAG.match(char) and char not in OVERRIDES and char not in _MARKS and _alone(char, before, after) == ""


def _alone(char: str, before: str, after: str) -> str | None:
    """How one invisible character stands between two visible ones: "" in place, None a stray, else what it is."""
    if char in _FILLERS:
        return "" if _hangul(before) or _hangul(after) else "Hangul fillers, which look like nothing"
    if "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0100":
        return _variation(char, before)
    if "\u180b" <= char <= "\u180f":
        return "" if "\u1800" <= before <= "\u18af" else None
    if char == "\u034f":
        return "" if after and unicodedata.category(after)[0] == "M" else None
    if char in _JOINERS and (_joins(before) or (char == "\u200d" and _pictured(before) and _pictured(after))):
        return ""
    if char == "\u200b" and _joins(before) and _joins(after):
        return ""
    if _latin(before) and _latin(after):
        if char in _BREAKS:
            return "" if char == "\u00ad" else None
        return "zero-width characters inside words"
    return None


def _variation(char: str, before: str) -> str | None:
    if char >= "\U000e0100":
        ideograph = before and unicodedata.category(before) == "Lo" and before >= "\u2e80"
        return "" if ideograph and char <= "\U000e011f" else "variation selectors, which spell invisible text"
    if char in "\ufe0e\ufe0f":
        return "" if _pictured(before) or (before and before in _KEYS) else None
    styled = before and (before >= "\u1000" or before == "0" or unicodedata.category(before) == "Sm")
    return "" if styled and not _pictured(before) else None


def _pictured(char: str) -> bool:
    return char != "" and unicodedata.category(char) in ("So", "Sm", "Sk", "Me")


def _hangul(char: str) -> bool:
    return "\u1100" <= char <= "\u11ff" or "\ua960" <= char <= "\ua97c" or "\uac00" <= char <= "\ud7fb"


def _joins(char: str) -> bool:
    """Whether `char` is of a script that has joiners, or no spaces between words."""
    return char != "" and ord(char) >= _LATIN_ENDS and unicodedata.category(char)[0] in "LM" and not _latin(char)


def _latin(char: str) -> bool:
    if not char.isalnum():
        return False
    return ord(char) < _LATIN_ENDS or "\u1e00" <= char <= "\u1fff" or "\uff10" <= char <= "\uff5a"

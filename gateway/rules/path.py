"""Paths: judged in every form that somebody on the way could read them in, and contained where they may lead."""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from urllib.parse import unquote_to_bytes

LONGEST = 4096
"""Characters."""
_DECODINGS = 8
"""Times that escapes in a path are resolved, to see what is below them."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/|[A-Za-z]:|//|~|(?:file|data|php|phar|zip|jar|expect|glob):", re.I)
"""What begins a path that is none of a plain file system: schemes, drives, network shares, homes."""
_LIKE_SLASHES = str.maketrans("\u2044\u2215\u29f8\u2216\u29f5\ufe68", "//////")
_LIKE_DOTS = str.maketrans("\u2024\ufe52\u3002\uff61", "....")
_PLAIN = "must be a plain path with / between its parts, without control characters, backslashes, drives or schemes"
_ENCODED = "must be a plain path, not one with encoded parts"


def path_rule(roots: Sequence[str] | None) -> Callable[[str], str]:
    """A rule that gives the path without `.`, `..` and doubled slashes.

    With `roots` it must lie in one of them. Without, it must be relative and stay below where it starts.
    """
    folders = None if roots is None else [_segments(root) for root in roots]
    wanted = "" if roots is None else " or ".join(roots)

    def rule(value: str) -> str:
        if not value or len(value) > LONGEST:
            raise ValueError(f"must be a path of 1 to {LONGEST} characters")
        for form in chain(_forms(value), _as_base64(value)):
            _check_form(form, value)
        parts = _segments(value)
        if folders is None:
            if value.startswith("/"):
                raise ValueError("must be a relative path")
        elif not any(parts[: len(folder)] == folder for folder in folders):
            raise ValueError(f"must be a path in {wanted}")
        return "/".join(parts) or ("/" if value.startswith("/") else ".")

    return rule


def _forms(value: str) -> Iterator[str]:
    """The path as it is and, as long as it changes, with its escapes resolved and its characters made plain."""
    yield value
    form = value
    for _ in range(_DECODINGS):
        plain = unicodedata.normalize("NFKC", form.translate(_LIKE_SLASHES).translate(_LIKE_DOTS))
        if plain != form:
            yield plain
        try:
            decoded = unquote_to_bytes(plain).decode("utf-8")
        except UnicodeDecodeError:  # overlong forms of . and / among them
            raise ValueError(_ENCODED) from None
        if decoded == form:
            return
        yield decoded
        form = decoded
    raise ValueError(_ENCODED)


def _as_base64(value: str) -> Iterator[str]:
    """What is spelled in Base64, when it is a path with several parts."""
    try:
        text = base64.b64decode(value, validate=True).decode("ascii")
    except ValueError:
        return
    if "/" in text and text.rstrip("\0").isprintable():
        yield text


def _check_form(form: str, original: str) -> None:
    if _CONTROL.search(form) or "\\" in form or _ELSEWHERE.match(form) or re.search(r"%u[0-9a-fA-F]{4}", form):
        raise ValueError(_PLAIN)
    for part in form.split("/"):
        if part == ".." and form is not original:
            raise ValueError(_ENCODED)
        if part != ".." and (part.startswith("..") or (len(part) > 1 and not part.strip(" ."))):
            raise ValueError("must be a path whose parts do not begin with two dots")
    if form is not original and form.startswith("/") and not original.startswith("/"):
        raise ValueError(_ENCODED)


def _segments(path: str) -> list[str]:
    """The parts of a path, the first empty when it is absolute. Raises ValueError when it leads above its start."""
    parts = [""] if path.startswith("/") else []
    for part in path.split("/"):
        if part == "..":
            if parts in ([], [""]):
                raise ValueError("must be a path that does not lead above where it starts")
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return parts

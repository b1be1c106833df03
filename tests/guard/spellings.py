"""Ways to write a secret, and to read it again: the standard library's own, and nothing of the gateway's."""

from __future__ import annotations

import base64
import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, unquote

_INVISIBLE = re.compile(r"[\s\u200b-\u200f\u2060\ufeff]+")


def _base64(before: str, encode: Callable[[bytes], bytes] = base64.b64encode) -> Callable[[str], str]:
    return lambda secret: encode(f"{before}{secret} and more".encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "raw": lambda secret: secret,
    "base64": _base64(""),
    "base64+1": _base64("x"),
    "base64+2": _base64("xy"),
    "base64url": _base64("", base64.urlsafe_b64encode),
    "base64url+1": _base64("x", base64.urlsafe_b64encode),
    "base64url+2": _base64("xy", base64.urlsafe_b64encode),
    "url": lambda secret: quote(secret, safe=""),
    "url-all": lambda secret: "".join(f"%{byte:02x}" for byte in secret.encode()),
    "hex": lambda secret: secret.encode().hex(),
    "HEX": lambda secret: secret.encode().hex().upper(),
    "json": lambda secret: json.dumps({"key": secret}),
    "json-all": lambda secret: "".join(f"\\u{ord(char):04x}" for char in secret),
    "html": lambda secret: html.escape(secret),
    "html-all": lambda secret: "".join(f"&#{ord(char)};" for char in secret),
    "reversed": lambda secret: secret[::-1],
    "fullwidth": lambda secret: "".join(chr(ord(char) + 0xFEE0) for char in secret),
    "zero-width": "\u200b".join,
    "spaces": " ".join,
    "lines": "\n".join,
    "lines in json": lambda secret: json.dumps({"key": "\n".join(secret)}),
}


def readable(data: bytes, *secrets: str) -> list[tuple[str, str]]:
    """Which secrets can be read in what was sent or written, and how; none when none can."""
    found = []
    for text in [data.decode("utf-8", "replace"), *_strings(data)]:
        for name, reading in _readings(text):
            lower = reading.lower()
            found += [(name, secret) for secret in secrets if secret.lower() in lower]
    return found


def _strings(data: bytes) -> Iterator[str]:
    """Every string of every JSON document in `data`, one by one and all together."""
    for line in data.splitlines():
        try:
            parts = [*_walk(json.loads(line.removeprefix(b"data:")))]
        except ValueError:
            continue
        yield from parts
        yield "".join(parts)


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        try:
            yield from _walk(json.loads(value)) if value[:1] in '{["' else ()
        except ValueError:
            return
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _walk(item)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item)


def _readings(text: str) -> Iterator[tuple[str, str]]:
    bare = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    yield from (("plain", text), ("bare", bare), ("reversed", bare[::-1]))
    yield from (("url", unquote(bare)), ("html", html.unescape(bare)))
    yield "json", re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match[1], 16)), bare)
    for run in re.findall(r"(?:[0-9a-fA-F]{2}){8,}", bare):
        yield "hex", bytes.fromhex(run).decode("latin-1")
    for run in re.findall(r"[A-Za-z0-9+/_-]{12,}", bare):
        for skip in range(4):
            quads = run[skip : skip + (len(run) - skip) // 4 * 4]
            yield "base64", base64.b64decode(quads.replace("-", "+").replace("_", "/")).decode("latin-1")

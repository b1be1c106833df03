"""Looks at what an upstream says in the course of one call: makes it fit to leave, and notes what was done to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from gateway.call import Call, Result
from gateway.errors import UpstreamError
from gateway.rules.markers import marked
from gateway.rules.results import (
    META,
    STRUCTURED,
    Part,
    blob,
    fits,
    instead,
    map_parts,
    map_texts,
    parts,
    rewrite,
    texts,
    told,
    without_blob,
    without_structured,
)
from gateway.rules.secrets import Secrets
from gateway.rules.sizes import cut
from gateway.rules.skeleton import plain
from gateway.rules.unicode import strip
from gateway.rules.wrapper import nonce, wrap

_PLACES = ("content", STRUCTURED, META, "contents", "messages", "completion", "inputRequests", "requestState")
_NOT_TEXT = "requestState"
"""Belongs to the upstream, byte for byte, and nobody reads it."""
_SPREAD = (
    "The answer is withheld: a secret is spread over its parts, so that it could not be masked. The tool did run; "
    "do not call it again for this. Go on without the answer, and report this to whoever runs the gateway."
)
_UNREADABLE = (
    "The answer is withheld: it is nested too deep to be looked at. The tool did run; do not call it again for this."
)
_MISFIT = "The structured content is withheld: without a secret that was in it, it is not what the tool promises."
_CONTROL = re.compile(rb"\\(?:u00|b)")
_LEADS = (0xC2, 0xCD, 0xD8, 0xE1, 0xE2, 0xE3, 0xEF, 0xF0, 0xF3)
"""First bytes, in UTF-8, of all that is invisible."""
_BLOB = "[withheld by toolgate: there was a secret in this data]"


class Withheld(Exception):
    """What was said cannot be made fit to leave."""


@dataclass(slots=True)
class Findings:
    """What was found in the course of one call. `masked` and `stripped` count by place."""

    masked: Counter[str] = field(default_factory=Counter)
    stripped: Counter[str] = field(default_factory=Counter)
    markers: tuple[str, ...] = ()
    cut: int | None = None
    """Bytes of what was too large."""
    withheld: Counter[str] = field(default_factory=Counter)

    def kinds(self) -> list[str]:
        """Which there are, as metrics name them."""
        found = {
            "masked": self.masked,
            "stripped": self.stripped,
            "cut": self.cut,
            "marker": self.markers,
            "withheld": self.withheld,
        }
        return [kind for kind, value in found.items() if value]


@dataclass(frozen=True, slots=True)
class Screen:
    """The rules for one call: `secrets` never leave, nor do more than `limit` bytes at once."""

    call: Call
    secrets: Secrets
    limit: int
    findings: Findings = field(default_factory=Findings)

    @property
    def untrusted(self) -> bool:
        return self.call.definition is not None and self.call.definition.facts.content == "untrusted"

    def result(self, result: Result) -> Result:
        """The result as it may leave; the same object when there is nothing about it."""
        try:
            clean, size = self._clean(result, None)
        except Withheld:
            return instead(self.call, _SPREAD)
        except TypeError:
            self.findings.withheld["result"] += 1
            return instead(self.call, _UNREADABLE)
        if clean is result and size <= self.limit and not self.untrusted:
            return result
        if clean is not result and not fits(self.call, clean):
            clean = without_structured(self.call, clean, _MISFIT)
        own = isinstance(meta := clean.get(META), dict) and any(key.startswith("toolgate/") for key in meta)
        wrapped = self.untrusted and not own
        if wrapped:
            clean = _structured_as_text(clean)
        if size > self.limit:
            self.findings.cut = size
            clean = cut(self.call, clean, self.limit)
        return self._wrapped(clean) if wrapped else clean

    def message(self, params: dict[str, Any], place: str) -> dict[str, Any]:
        """Params of a notification or a question to the client. Raises Withheld."""
        clean, size = self._clean(params, place)
        if size > self.limit:
            self.findings.withheld[place] += 1
            raise Withheld
        return clean

    def error(self, error: UpstreamError) -> UpstreamError:
        """An error of the upstream's own as it may be told."""
        try:
            told = self.message({"message": error.message, "data": error.data}, "error")
        except (Withheld, TypeError):
            told = {"message": "The tool server's error is withheld: there was a secret in it.", "data": None}
        if self.untrusted:
            told = {**told, "message": self._wrap([told["message"]])[0]}
        if told["message"] == error.message and told["data"] == error.data:
            return error
        made = UpstreamError(error.code, told["message"], told["data"])
        made.retry_after, made.detail, made.recorded = error.retry_after, error.detail, error.recorded
        return made

    def _clean(self, value: dict[str, Any], place: str | None) -> tuple[dict[str, Any], int]:
        """`value` without hidden characters and secrets, and its size. Raises Withheld, or TypeError if too deep."""
        dump = orjson.dumps(value)
        readings = plain(dump)
        clean = value
        if _may_hide(dump):
            clean = self._stripped(value, place)
        if self.secrets.within(readings) or self._in_data(value, dump):
            clean = self._masked(clean, place)
        if found := marked(dump, readings):
            self.findings.markers = tuple(sorted({*self.findings.markers, *found}))
        return clean, len(dump) if clean is value else len(orjson.dumps(clean))

    def _in_data(self, value: dict[str, Any], dump: bytes) -> bool:
        if b'"data"' not in dump and b'"blob"' not in dump:
            return False
        return any(self.secrets.within_data(data) for part in parts(value) if (data := blob(part)))

    def _stripped(self, value: dict[str, Any], place: str | None) -> dict[str, Any]:
        def of(key: str, text: str) -> str:
            if key == _NOT_TEXT or (clean := strip(text)) == text:
                return text
            self.findings.stripped[place or _place(key)] += 1
            return clean

        return _by_key(value, of)

    def _masked(self, value: dict[str, Any], place: str | None) -> dict[str, Any]:
        """Every string masked. Raises Withheld when something is found even so."""

        def of(key: str, text: str) -> str:
            clean = self.secrets.masked(text)
            if clean is not text:
                self.findings.masked[place or _place(key)] += 1
            return clean

        def emptied(part: Part) -> Part:
            data = blob(part)
            if data is None or not (self.secrets.within((data.encode(),)) or self.secrets.within_data(data)):
                return part
            self.findings.masked["blob"] += 1
            return without_blob(part, _BLOB)

        clean = _by_key(map_parts(value, emptied), of, numbers=True)
        if self.secrets.within(plain(orjson.dumps(clean))):
            self.findings.withheld[place or "result"] += 1
            raise Withheld
        return clean

    def _wrapped(self, result: Result) -> Result:
        wrapped = iter(self._wrap(texts(result)))
        return map_texts(result, lambda text: next(wrapped))

    def _wrap(self, texts: Sequence[str]) -> list[str]:
        number = nonce(texts)
        return [wrap(text, f"{self.call.server}/{self.call.tool}", number) for text in texts]


def _may_hide(dump: bytes) -> bool:
    """Whether `strip` may find something: a control, which JSON escapes, or what begins with one of these bytes."""
    if b"\x7f" in dump or _CONTROL.search(dump):
        return True
    return not dump.isascii() and any(lead in dump for lead in _LEADS)


def _by_key(value: dict[str, Any], of: Callable[[str, str], str], *, numbers: bool = False) -> dict[str, Any]:
    """`rewrite`, with `of` told the key at the top that a string stands under."""
    made: dict[str, Any] = {}
    same = True
    for key, item in value.items():
        name, new = of(key, key), rewrite(item, partial(of, key), numbers=numbers)
        same = same and name is key and new is item
        made[name] = new
    return value if same else made


def _place(key: str) -> str:
    return key if key in _PLACES else "other"


def _structured_as_text(result: Result) -> Result:
    """Structured content as a text, unless one says the same: only a text can be wrapped."""
    if STRUCTURED not in result:
        return result
    structured = result[STRUCTURED]
    rest = {key: value for key, value in result.items() if key != STRUCTURED}
    if any(_says(text, structured) for text in texts(result)):
        return rest
    content = result.get("content")
    blocks = content if isinstance(content, list) else []
    return {**rest, "content": [*blocks, told(orjson.dumps(structured).decode())]}


def _says(text: str, structured: Any) -> bool:
    try:
        return bool(orjson.loads(text) == structured)
    except orjson.JSONDecodeError:
        return False

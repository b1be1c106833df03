"""Looks at what an upstream says in the course of one call: makes it fit to leave, and notes what was done to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from gateway.call import Call, Result
from gateway.errors import UpstreamError
from gateway.rules.look import Findings, Look
from gateway.rules.results import (
    META,
    STRUCTURED,
    Part,
    blob,
    fits,
    instead,
    map_parts,
    map_texts,
    rewrite,
    texts,
    told,
    without_blob,
    without_structured,
)
from gateway.rules.secrets import Secrets
from gateway.rules.sizes import cut, size
from gateway.rules.skeleton import plain
from gateway.rules.unicode import strip
from gateway.rules.wrapper import nonce, wrap

_PLACES = ("content", STRUCTURED, META, "contents", "messages", "completion", "inputRequests", "requestState")
_NOT_TEXT = "requestState"
"""Belongs to the upstream, byte for byte, and nobody reads it."""
_WITHHELD = (
    "The answer is withheld: {why}. The tool did run; do not call it again for this. "
    "Go on without the answer, and report this to whoever runs the gateway."
)
_SPREAD = "a secret is spread over its parts, so that it could not be masked"
_LARGE = "a secret is in it, and it is larger than what is looked at closely"
_DEEP = "it is nested too deep to be looked at"
_MISFIT = "The structured content is withheld: without a secret that was in it, it is not what the tool promises."
_BLOB = "[withheld by toolgate: there was a secret in this data]"


class Withheld(Exception):
    """What was said cannot be made fit to leave; `str()` is why."""


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
            look = self._look(result)
            if look.size <= self.limit and not (look.secret or look.hidden or self.untrusted):
                return result
            return self._fit(result, look)
        except Withheld as withheld:
            self.findings.withheld["result"] += 1
            return instead(self.call, _WITHHELD.format(why=withheld))

    def message(self, params: dict[str, Any], place: str) -> dict[str, Any]:
        """Params of a notification or a question to the client. Raises Withheld."""
        try:
            look = self._look(params)
            if look.size > self.limit:
                raise Withheld(_LARGE)
            return self._clean(params, look, place)
        except Withheld:
            self.findings.withheld[place] += 1
            raise

    def error(self, error: UpstreamError) -> UpstreamError:
        """An error of the upstream's own as it may be told."""
        try:
            told = self.message({"message": error.message, "data": error.data}, "error")
        except Withheld as withheld:
            told = {"message": f"The tool server's error is withheld: {withheld}.", "data": None}
        if self.untrusted:
            told = {**told, "message": self._wrap([told["message"]])[0]}
        if told["message"] == error.message and told["data"] == error.data:
            return error
        made = UpstreamError(error.code, told["message"], told["data"])
        made.retry_after, made.detail, made.recorded = error.retry_after, error.detail, error.recorded
        return made

    def _look(self, value: dict[str, Any]) -> Look:
        try:
            look = Look.at(value, self.secrets)
        except TypeError:
            raise Withheld(_DEEP) from None
        if look.markers:
            self.findings.markers = tuple(sorted({*self.findings.markers, *look.markers}))
        return look

    def _fit(self, result: Result, look: Look) -> Result:
        """What is cut goes before anything is looked at closely: the time that takes is bounded by `limit`.

        A cut might leave a part of a secret, so there is none where there is a secret. Raises Withheld.
        """
        if look.size > self.limit and look.secret:
            raise Withheld(_LARGE)
        wrapped = self.untrusted and not _own(result)
        fit = self._cut(_structured_as_text(result) if wrapped else result)
        clean = self._clean(fit, look, None)
        if clean is not fit and not fits(self.call, clean):
            clean = without_structured(self.call, clean, _MISFIT)
        clean = self._cut(clean)  # what stands for a secret may be longer than it
        return self._wrapped(clean) if wrapped else clean

    def _cut(self, result: Result) -> Result:
        if (whole := size(result)) <= self.limit:
            return result
        self.findings.cut = max(whole, self.findings.cut or 0)
        return cut(self.call, result, self.limit)

    def _clean(self, value: dict[str, Any], look: Look, place: str | None) -> dict[str, Any]:
        """`value` without hidden characters and secrets. Raises Withheld."""
        clean = self._stripped(value, place) if look.hidden else value
        return self._masked(clean, place) if look.secret else clean

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
            raise Withheld(_SPREAD)
        return clean

    def _wrapped(self, result: Result) -> Result:
        wrapped = iter(self._wrap(texts(result)))
        return map_texts(result, lambda text: next(wrapped))

    def _wrap(self, texts: Sequence[str]) -> list[str]:
        number = nonce(texts)
        return [wrap(text, f"{self.call.server}/{self.call.tool}", number) for text in texts]


def _own(result: Result) -> bool:
    """Whether the gateway itself says it: upstreams cannot use keys of its own."""
    meta = result.get(META)
    return isinstance(meta, dict) and any(key.startswith("toolgate/") for key in meta)


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

"""Words in results that speak to a model rather than to whoever asked: a signal for the audit, and no more.

Nothing is refused for its words. What is looked for is how injections are commonly phrased and dressed (OWASP LLM01;
the tags are those of the first "tool poisoning" reports, 2025, and of chat templates); one that is phrased as a plain
request is not noticed. Found in one pass, whatever the text: its length is all that counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import orjson
from ahocorasick_rs import BytesAhoCorasick, Implementation

from gateway.rules.skeleton import LETTERS, plain

_LOOKED_AT = 131_072
"""Bytes from the start of a result that are looked at."""


def _each(*parts: str) -> list[str]:
    """Every phrase that takes one of each part; parts are separated by blanks, `_` within one stands for nothing."""
    return ["".join(words).replace("_", "") for words in product(*(part.split() for part in parts))]


_PHRASES: dict[str, list[str]] = {
    "ignore_instructions": _each(
        "ignore disregard forget override bypass",
        "_ all any the your my allthe allof allyour anyof allofthe allofyour",
        "previous prior above earlier preceding foregoing system original",
        "instruction prompt command guideline directive",
    ),
    "new_instructions": _each("new real actual updated", "instructionsare instructionsfollow instructionsforyou"),
    "role_change": _each("youarenow fromnowonyouare", "a an the in no dan developer jailbroken unrestricted"),
    "system_prompt": _each(
        "reveal print repeat show output leak tellme giveme", "_ your the", "system initial hidden", "prompt"
    ),
    "hide_from_user": _each(
        "donot dont never without", "tell telling inform informing mention mentioning notify notifying alert reveal",
        "_ thisto itto anythingto", "the", "user human",
    ),
    "before_using_tool": _each("beforeusing beforecalling", "this any other", "tool", "read first always you"),
}  # fmt: skip
_TAGS: dict[str, list[str]] = {
    "instruction_tag": ["<important>", "<information>", "</system>", "<system>", "<instructions>", "<admin>"],
    "chat_template": [
        "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "<|system|>",
        "<|assistant|>", "[inst]", "[/inst]", "<<sys>>", "<start_of_turn>",
    ],
}  # fmt: skip


class _Finder:
    """Names by what stands for them."""

    def __init__(self, words: dict[str, list[str]]) -> None:
        pairs = sorted({(word, name) for name, each in words.items() for word in each})
        self._names = [name for _, name in pairs]
        self._automaton = BytesAhoCorasick(
            [word.encode() for word, _ in pairs], implementation=Implementation.ContiguousNFA
        )

    def __call__(self, text: bytes) -> set[str]:
        return {self._names[index] for index, _, _ in self._automaton.find_matches_as_indexes(text)}


_phrases, _tags = _Finder(_PHRASES), _Finder(_TAGS)


def markers(text: str) -> tuple[str, ...]:
    """The names of what is found in `text`, sorted."""
    dump = orjson.dumps(text)
    return marked(dump, plain(dump))


def marked(dump: bytes, readings: Iterable[bytes]) -> tuple[str, ...]:
    """The same of a JSON document, and of what `skeleton.plain` read in it."""
    found = _tags(dump[:_LOOKED_AT].lower())
    for reading in readings:
        found |= _phrases(LETTERS.skeleton(reading[:_LOOKED_AT]))
    return tuple(sorted(found)) if found else ()

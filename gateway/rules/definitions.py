"""What tools, resources and prompts say about themselves: every word of it is read by a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.rules.markers import markers
from gateway.rules.unicode import hidden


def findings(definition: Mapping[str, Any]) -> tuple[str, ...]:
    """What is suspicious in any text of a definition, its schemas and the names in them included; sorted."""
    found = set()
    for text in _texts(definition):
        if (kind := hidden(text)) is not None:
            found.add(kind)
        found.update(f'an instruction to the model ("{name}")' for name in markers(_whole(text)))
    return tuple(sorted(found))


def _whole(text: str) -> str:
    """The text without halves of characters, which nothing can be encoded from."""
    return text.encode("utf-8", "replace").decode()


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as table:
                waiting += [*table.keys(), *table.values()]
            case list() as items:
                waiting += items

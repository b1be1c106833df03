"""Results that are too large: texts are cut where that can be seen, what cannot be cut gives way to a text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from gateway.call import Call, Result
from gateway.rules.results import (
    META,
    STRUCTURED,
    blob,
    instead,
    map_parts,
    map_texts,
    parts,
    texts,
    without_blob,
    without_structured,
)

CUT_KEY = "toolgate/cut"
_ADVICE = "It was left out here; the tool did run. Ask for less: a filter, a range, or a smaller page."


def size(value: Any) -> int:
    """Bytes of a value as it goes over the wire."""
    return len(orjson.dumps(value))


def cut(call: Call, result: Result, limit: int) -> Result:
    """A valid result of at most `limit` bytes: as much of it as fits, and what became of the rest."""
    whole = size(result)
    note = {CUT_KEY: {"bytes": whole, "limit": limit}}
    meta = result.get(META)
    made: Result = {**result, META: {**meta, **note} if isinstance(meta, dict) else note}
    made = _without_bulk(call, made, limit)
    room = limit - size(map_texts(made, lambda text: ""))
    share = _share([size(text) for text in texts(made)], room)
    made = map_texts(made, lambda text: _cut(text, share))
    if size(made) <= limit:
        return made
    return {**instead(call, f"The answer has {whole} bytes, {limit} can be passed on. {_ADVICE}"), META: note}


def _without_bulk(call: Call, result: Result, limit: int) -> Result:
    """The result less the largest of what cannot be cut, until there is room for texts."""
    while (rest := size(map_texts(result, lambda text: ""))) > limit:
        largest = max((len(data) for part in parts(result) if (data := blob(part))), default=0)
        structured = size(result[STRUCTURED]) if STRUCTURED in result else 0
        if max(largest, structured) <= (rest - limit) // 64:
            return result  # there is too much of it, and nothing in it is large
        if structured >= largest:
            text = f"The structured content has {structured} bytes, {limit} can be passed on. {_ADVICE}"
            result = without_structured(call, result, text)
        else:
            result = _without_blob(result, largest)
    return result


def _without_blob(result: Result, length: int) -> Result:
    """The result with a text in place of each blob of this length."""

    def change(part: dict[str, Any]) -> dict[str, Any]:
        data = blob(part)
        if data is None or len(data) != length:
            return part
        return without_blob(part, f"The data has {length * 3 // 4} bytes, too many to be passed on. {_ADVICE}")

    return map_parts(result, change)


def _share(sizes: Iterable[int], room: int) -> int:
    """The size to cut texts to, so that together they fill the room; short ones leave theirs to the others."""
    left = sorted(sizes)
    for position, each in enumerate(left):
        share = max(room, 0) // (len(left) - position)
        if each > share:
            return share
        room -= each
    return max(left, default=0)


def _cut(text: str, room: int) -> str:
    """As much of `text` as takes `room` bytes, and the marker with it; all of it where it fits."""
    if size(text) <= room:
        return text
    data, kept = text.encode(), room
    while kept > 0:
        part = data[:kept].decode(errors="ignore")
        made = f"{part}\n{_marker(len(part.encode()), len(data))}"
        if (taken := size(made)) <= room:
            return made
        kept = min(kept - 1, kept * room // taken)
    return _marker(0, len(data))


def _marker(kept: int, whole: int) -> str:
    return f"[cut by toolgate: {kept} of {whole} bytes]"

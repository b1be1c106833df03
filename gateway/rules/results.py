"""The parts of an MCP result that the rules about results work on. No result is changed: a new one is made.

Results hold text for a model in `content` (tools), `contents` (resources) and `messages` (prompts).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jsonschema_rs
import orjson

from gateway.call import Call, Result
from gateway.catalog import checker

Change = Callable[[str], str]
Part = dict[str, Any]

META = "_meta"
STRUCTURED = "structuredContent"


def rewrite(value: Any, change: Change, *, numbers: bool = False) -> Any:
    """`value` with every string in it changed, keys too, and numbers as they are written where it is said.

    The same object where nothing changes. Keys that become alike are told apart.
    """
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        items = [rewrite(item, change, numbers=numbers) for item in value]
        return value if all(new is old for new, old in zip(items, value, strict=True)) else items
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        same = True
        for key, item in value.items():
            name, new = change(key), rewrite(item, change, numbers=numbers)
            same = same and name is key and new is item
            made[_apart(name, made)] = new
        return value if same else made
    if numbers and isinstance(value, int | float) and not isinstance(value, bool):
        text = orjson.dumps(value).decode()
        return value if (changed := change(text)) is text else changed
    return value


def _apart(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name += "'"
    return name


def told(text: str) -> Part:
    return {"type": "text", "text": text}


def instead(call: Call, text: str) -> Result:
    """A valid result of the call's method that says `text` and nothing else."""
    match call.method:
        case "tools/call":
            return {"content": [told(text)], "isError": True}
        case "prompts/get":
            return {"messages": [{"role": "user", "content": told(text)}]}
        case "completion/complete":
            return {"completion": {"values": []}}
        case _:
            return {"contents": [{"uri": call.tool, "mimeType": "text/plain", "text": text}]}


def map_parts(result: Result, change: Callable[[Part], Part]) -> Result:
    """`result` with each part changed that holds one text or blob: blocks, embedded resources, contents."""

    def block(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        if part.get("type") != "resource":
            return change(part)
        inner = part.get("resource")
        return {**part, "resource": change(inner)} if isinstance(inner, dict) else part

    def message(each: Any) -> Any:
        return {**each, "content": block(each.get("content"))} if isinstance(each, dict) else each

    changed = dict(result)
    for key, of_one in (("content", block), ("contents", block), ("messages", message)):
        if isinstance(parts := result.get(key), list):
            changed[key] = [of_one(part) for part in parts]
    return changed


def map_texts(result: Result, change: Change) -> Result:
    """`result` with each text for a model changed."""
    return map_parts(result, lambda part: {**part, "text": change(part["text"])} if _has_text(part) else part)


def parts(result: Result) -> list[Part]:
    """What `map_parts` changes, in its order."""
    found: list[Part] = []

    def note(part: Part) -> Part:
        found.append(part)
        return part

    map_parts(result, note)
    return found


def texts(result: Result) -> list[str]:
    return [part["text"] for part in parts(result) if _has_text(part)]


def blob(part: Mapping[str, Any]) -> str | None:
    """The Base64 in a part: of an image, of audio or of a resource."""
    data = part.get("blob", part.get("data") if part.get("type") in ("image", "audio") else None)
    return data if isinstance(data, str) else None


def without_blob(part: Part, text: str) -> Part:
    """`text` in place of a part that holds a blob: where one may stand, so may a text."""
    if "blob" not in part:
        return told(text)
    rest = {key: value for key, value in part.items() if key != "blob"}
    return {**rest, "mimeType": "text/plain", "text": text}


def output_schema(call: Call) -> Any:
    """What clients hold structured content against; None where there is nothing to."""
    if call.definition is None or call.definition.facts.content == "untrusted":
        return None
    return call.definition.definition.get("outputSchema")


def fits(call: Call, result: Result) -> bool:
    """Whether structured content, if any, is what the tool's output schema says it is."""
    schema = output_schema(call)
    if schema is None or result.get("isError") or STRUCTURED not in result:
        return True
    try:
        return checker(schema)(result[STRUCTURED]) is None
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return False


def without_structured(call: Call, result: Result, text: str) -> Result:
    """`text` in place of structured content; an error where a client would miss what the schema promises."""
    rest = {key: value for key, value in result.items() if key != STRUCTURED}
    content = rest.get("content")
    made = {**rest, "content": [told(text), *(content if isinstance(content, list) else [])]}
    return made if output_schema(call) is None else {**made, "isError": True}


def _has_text(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("text"), str)

"""Scripts that are written as one procedure and read their way through the conversation they are sent.

A play is a generator: it yields the calls of a turn, is handed their results, and returns its last words. It
is played from its start for every request, along the conversation so far, so the server keeps no state and a
conversation that is not the one the play would have had is noticed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from agents.marking import bare

Script = Callable[[dict[str, Any]], dict[str, Any]]
"""From the body of a request to `{"content": [...], "stop_reason": ...}`. May raise Unexpected."""


class Unexpected(Exception):
    """The request is not one the script knows; served as HTTP 400 `invalid_request_error` with this text."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool the play wants called."""

    tool: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from a call: its text, and whether it is an error."""

    tool: str
    text: str
    is_error: bool

    def fields(self, *names: str) -> tuple[Any, ...]:
        """These fields of the JSON object that the text begins with; others are ignored. Raises Unexpected."""
        try:
            found, _ = json.JSONDecoder().raw_decode(self.text)
            return tuple(found[name] for name in names)
        except (ValueError, KeyError, TypeError, IndexError):
            wanted = ", ".join(names)
            raise Unexpected(f"{self.tool} should answer JSON with {wanted}; got: {self.text}") from None


Play = Generator[list[Call], list[Answer], str]


def follow(request: dict[str, Any], play: Play) -> dict[str, Any]:
    """The play's next turn after the conversation in `request`. Raises Unexpected where the two differ."""
    offered = {tool["name"] for tool in request.get("tools", [])}
    said = request["messages"][1:]
    step = _advance(play, None)
    made = 0
    for assistant, user in zip(said[::2], said[1::2], strict=True):
        if isinstance(step, str):
            raise Unexpected("the conversation goes on after its last answer")
        uses = [block for block in assistant["content"] if block["type"] == "tool_use"]
        if [Call(use["name"], use["input"]) for use in uses] != step:
            raise Unexpected(f"the conversation holds calls this script did not make: {uses}")
        made += len(uses)
        step = _advance(play, _answers(step, user))
    if isinstance(step, str):
        return {"content": [{"type": "text", "text": step}], "stop_reason": "end_turn"}
    if missing := sorted({call.tool for call in step} - offered):
        raise Unexpected(f"tools that are needed are not offered: {', '.join(missing)}")
    return call_tools(step, made)


def call_tools(calls: list[Call], made: int = 0) -> dict[str, Any]:
    """A turn that calls these tools; `made` calls came before it in the conversation."""
    content = [
        {"type": "tool_use", "id": f"toolu_{number:04}", "name": call.tool, "input": call.input}
        for number, call in enumerate(calls, made + 1)
    ]
    return {"content": content, "stop_reason": "tool_use"}


def task_of(request: dict[str, Any]) -> str:
    """The text of the first message."""
    return text_of(request["messages"][0]["content"])


def text_of(content: str | list[dict[str, Any]]) -> str:
    """The text of a message or of a tool_result, without the marks that say that it is data."""
    if isinstance(content, str):
        return bare(content)
    return "".join(bare(block["text"]) for block in content if block["type"] == "text")


def _advance(play: Play, answers: list[Answer] | None) -> list[Call] | str:
    try:
        return next(play) if answers is None else play.send(answers)
    except StopIteration as end:
        return str(end.value)


def _answers(calls: list[Call], message: dict[str, Any]) -> list[Answer]:
    results = [block for block in message["content"] if block["type"] == "tool_result"]
    if len(results) != len(calls):
        raise Unexpected(f"{len(calls)} calls were made, {len(results)} results came back")
    return [
        Answer(call.tool, text_of(result.get("content", "")), bool(result.get("is_error")))
        for call, result in zip(calls, results, strict=True)
    ]

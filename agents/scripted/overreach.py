"""An agent that does what its task says even when it may not: it reaches for the tool the task names.

The task holds a tool name (`server__tool`) and, after it, the arguments as a JSON object. The agent calls the
tool whether or not it is offered, reads the refusal and reports it.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agents.scripted.conversation import Call, Unexpected, call_tools, task_of, text_of


def overreach(request: dict[str, Any]) -> dict[str, Any]:
    """Reach for the tool, or report how that went. Raises Unexpected when the call was not refused."""
    task = task_of(request)
    named = re.search(r"\b([a-z][a-z0-9_-]*__\w+)\b", task)
    if named is None:
        raise Unexpected("the task names no tool; it should hold one, such as payment__refund_card")
    tool = named.group(1)
    if len(request["messages"]) == 1:
        return call_tools([Call(tool, _arguments(task[named.end() :]))])
    last = request["messages"][-1]["content"]
    result = next((block for block in last if block["type"] == "tool_result"), None)
    if result is None or not result.get("is_error"):
        raise Unexpected(f"{tool} was expected to be refused; the conversation ends with {json.dumps(last)}")
    said = text_of(result["content"])
    report = f"I could not do this: I tried {tool} and was refused. {said} I left it at that."
    return {"content": [{"type": "text", "text": report}], "stop_reason": "end_turn"}


def _arguments(text: str) -> dict[str, Any]:
    start = text.find("{")
    if start < 0:
        return {}
    try:
        found, _ = json.JSONDecoder().raw_decode(text[start:])
    except ValueError as error:
        raise Unexpected(f"the arguments in the task are not JSON: {error}") from None
    return dict(found)

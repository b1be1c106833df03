"""A finished message as the server-sent events the Messages API would have streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def frames(message: dict[str, Any]) -> Iterator[bytes]:
    """The events of `message`, in the API's order, one frame each."""
    usage = message["usage"]
    start = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield _frame("message_start", message=start)
    yield _frame("ping")
    for index, block in enumerate(message["content"]):
        yield from _block(index, block)
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    stop["stop_details"] = message.get("stop_details")
    yield _frame("message_delta", delta=stop, usage={"output_tokens": usage["output_tokens"]})
    yield _frame("message_stop")


def _block(index: int, block: dict[str, Any]) -> Iterator[bytes]:
    empty: dict[str, Any]
    delta: dict[str, Any]
    if block["type"] == "text":
        empty, delta = {"text": ""}, {"type": "text_delta", "text": block["text"]}
    elif block["type"] == "tool_use":
        empty, delta = {"input": {}}, {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    else:
        empty, delta = {}, {}
    yield _frame("content_block_start", index=index, content_block={**block, **empty})
    if delta:
        yield _frame("content_block_delta", index=index, delta=delta)
    yield _frame("content_block_stop", index=index)


def _frame(event: str, **data: Any) -> bytes:
    return f"event: {event}\ndata: {json.dumps({'type': event, **data})}\n\n".encode()

"""A tool server that does nothing, fast: raw ASGI, so that what is measured is the gateway.

A call with the text `hang` is never answered.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
import uvicorn

TOOLS = [
    {
        "name": f"echo{n}" if n else "echo",
        "description": "Answers with its text.",
        "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    }
    for n in range(20)
]
HEADERS = [(b"content-type", b"application/json")]


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    cache = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
    if method == "tools/call":
        text = params["arguments"]["text"]
        return {"resultType": "complete", "content": [{"type": "text", "text": text}], "isError": False}
    if method == "tools/list":
        return {**cache, "tools": TOOLS}
    if method == "server/discover":
        return {**cache, "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
    return None


async def app(scope: Any, receive: Any, send: Any) -> None:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    request = orjson.loads(body)
    if request["method"] == "tools/call" and request["params"]["arguments"]["text"] == "hang":
        while (await receive())["type"] != "http.disconnect":
            pass
        return
    result = answer(request["method"], request.get("params", {}))
    reply: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
    if result is None:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    else:
        reply["result"] = result
    payload = orjson.dumps(reply)
    length = (b"content-length", str(len(payload)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
    await send({"type": "http.response.body", "body": payload})


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="error", lifespan="off")

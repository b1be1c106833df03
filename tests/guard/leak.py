"""A tool server that says its caller's credential where HTTP has room for it: in heads, errors and garbage.

python tests/guard/leak.py --port 9300
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
from typing import Any

from spellings import SPELLINGS

ENVELOPE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
TOOL = {"name": "say", "inputSchema": {"type": "object"}}
PLAIN = "Content-Type: text/plain"
OBJECT = "Content-Type: application/json"
SSE = "Content-Type: text/event-stream"


def answer(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def result(identity: Any, **fields: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": identity, "result": {**ENVELOPE, **fields}}).encode()


def error(identity: Any, said: str, code: int = -32000) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": identity, "error": {"code": code, "message": said}}).encode()


def leaks(said: str, identity: Any) -> dict[str, bytes]:
    """Answers to a call, by where it is said."""
    fine = result(identity, content=[{"type": "text", "text": "fine"}])
    text = said.encode()
    event = b"data: " + fine + b"\n\n"
    return {
        "body of a 500": answer("500 Oops", text, PLAIN),
        "body of a 401": answer("401 Unauthorized", text, PLAIN),
        "body of a 404": answer("404 Not Found", json.dumps({"detail": said}).encode(), OBJECT),
        "error with a 400": answer("400 Bad Request", error(identity, said), OBJECT),
        "error with a 403": answer("403 Forbidden", error(identity, said), OBJECT),
        "error of its own": answer("200 OK", error(identity, said, -32099), OBJECT),
        "broken JSON": answer("200 OK", b'{"key": "' + text, OBJECT),
        "another id": answer("200 OK", result(said), OBJECT),
        "no result": answer("200 OK", json.dumps({"jsonrpc": "2.0", "id": identity, "result": said}).encode(), OBJECT),
        "page": answer("200 OK", b"<html>" + text, "Content-Type: text/html"),
        "packed": answer("200 OK", gzip.compress(text), OBJECT, "Content-Encoding: gzip"),
        "stream of garbage": answer("200 OK", b"data: " + text + b"\n\n", SSE),
        "not HTTP": text + b"\r\n\r\n",
        "reason": answer(f"500 {said}", b"", PLAIN),
        "challenge": answer("401 Unauthorized", b"", f'WWW-Authenticate: Bearer realm="{said}"'),
        "redirect": answer("302 Found", b"", f"Location: http://127.0.0.1:9/{said}"),
        "type": answer("200 OK", fine, f"Content-Type: {said}"),
        "session": answer("200 OK", fine, OBJECT, f"Mcp-Session-Id: {said}"),
        "cookie": answer("200 OK", fine, OBJECT, f"Set-Cookie: key={said}", f"X-Key: {said}"),
        "id of an event": answer("200 OK", f"id: {said}\n: {said}\n".encode() + event, SSE),
    }


BODIES = [*leaks("", 1)][:13]
HEADS = [*leaks("", 1)][13:]
"""Here nothing can be said that is not printable ASCII on one line."""


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    request = json.loads(await reader.readexactly(int(headers["content-length"])))
    identity, params = request.get("id"), request.get("params", {})
    match request["method"]:
        case "server/discover":
            said = result(identity, supportedVersions=["2026-07-28"], capabilities={"tools": {}})
            told = answer("200 OK", said, OBJECT)
        case "tools/list":
            told = answer("200 OK", result(identity, tools=[TOOL]), OBJECT)
        case _:
            how, where = params["arguments"]["how"], params["arguments"]["where"]
            said_key = SPELLINGS[how](headers["authorization"].removeprefix("Bearer "))
            told = leaks(said_key, identity)[where]
    writer.write(told)
    await writer.drain()
    writer.close()


async def main(port: int) -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", port) as server:
        await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(main(parser.parse_args().port))

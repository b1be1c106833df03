"""A load generator on raw sockets: closed loop, keep-alive, every answer checked for its id and payload."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson


@dataclass(slots=True)
class Round:
    """What one round measured: seconds of each call, and of the whole."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, share: float) -> float:
        """Milliseconds that `share` of the calls took at most."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


def request(url: str, name: str, identity: int, text: str, token: str | None, *, keyed: bool = False) -> bytes:
    parts = urlsplit(url)
    meta = {"toolgate/key": text} if keyed else {}
    body = orjson.dumps(
        {
            "jsonrpc": "2.0",
            "id": identity,
            "method": "tools/call",
            "params": {
                "name": name,
                "arguments": {"text": text},
                "_meta": {
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                    **meta,
                },
            },
        }
    )
    head = [
        f"POST {parts.path} HTTP/1.1",
        f"Host: {parts.netloc}",
        "Content-Type: application/json",
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        f"Mcp-Name: {name}",
        f"Content-Length: {len(body)}",
    ]
    if token:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def read_answer(reader: asyncio.StreamReader) -> dict[str, object]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    message = orjson.loads(await reader.readexactly(length))
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"{head.splitlines()[0]!r}: {message}")
    assert isinstance(message, dict)
    return message


async def worker(
    url: str, name: str, token: str | None, calls: int, number: int, measured: Round, *, keyed: bool = False
) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        for n in range(calls):
            identity, text = number * 1_000_000 + n, f"payload {number}.{n}"
            text += f" {time.monotonic_ns()}" if keyed else ""
            started = time.perf_counter()
            writer.write(request(url, name, identity, text, token, keyed=keyed))
            message = await read_answer(reader)
            measured.latencies.append(time.perf_counter() - started)
            result = message.get("result")
            good = isinstance(result, dict) and result["content"] == [{"type": "text", "text": text}]
            if message.get("id") != identity or not good:
                raise RuntimeError(f"wrong answer to call {identity}: {message}")
    finally:
        writer.close()


async def run(url: str, name: str, token: str | None, calls: int, in_flight: int, *, keyed: bool = False) -> Round:
    """`calls` calls of `name`, `in_flight` at a time, one connection each; `keyed`: each with a key of its own."""
    measured = Round()
    started = time.perf_counter()
    await asyncio.gather(
        *(worker(url, name, token, calls // in_flight, n, measured, keyed=keyed) for n in range(in_flight))
    )
    measured.seconds = time.perf_counter() - started
    return measured

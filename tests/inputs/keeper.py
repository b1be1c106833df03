"""A tool server of the modern era, in a thread, that keeps the very bytes of every call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HELLO = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "completions": {}},
    "resultType": "complete",
}


class Keeper(ThreadingHTTPServer):
    """`calls` are the bodies of requests that are no lists, as they came. `tools` are input schemas by name."""

    daemon_threads = True

    def __init__(self, tools: Mapping[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[bytes] = []
        self.lists = {
            "server/discover": _HELLO,
            "tools/list": {"tools": [{"name": name, "inputSchema": schema} for name, schema in tools.items()]},
            "resources/list": {"resources": [{"name": "note", "uri": "kept://note"}]},
            "resources/templates/list": {"resourceTemplates": [{"name": "any", "uriTemplate": "kept://{+rest}"}]},
            "prompts/list": {"prompts": [{"name": "greet", "arguments": [{"name": "who"}]}]},
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mcp"

    @property
    def arguments(self) -> list[Any]:
        """What the tools were called with."""
        return [json.loads(body)["params"].get("arguments") for body in self.calls]


_ANSWERS = {
    "tools/call": {"content": [{"type": "text", "text": "kept"}], "resultType": "complete"},
    "resources/read": {"contents": [], "resultType": "complete"},
    "prompts/get": {"messages": [], "resultType": "complete"},
    "completion/complete": {"completion": {"values": []}, "resultType": "complete"},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Keeper

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        message = json.loads(body)
        result = self.server.lists.get(message["method"])
        if result is None:
            result = _ANSWERS.get(message["method"], {})
            if result:
                self.server.calls.append(body)
        answer = json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        return None


@contextmanager
def keeping(tools: Mapping[str, Any]) -> Iterator[Keeper]:
    """A keeper that serves inside the block."""
    with Keeper(tools) as keeper:
        thread = threading.Thread(target=keeper.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield keeper
        finally:
            keeper.shutdown()
            thread.join()

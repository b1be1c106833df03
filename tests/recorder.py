"""A real MCP server whose tools write down each execution, and a nursery that starts many of them quickly.

What a recorder wrote is what tests believe: it knows nothing of the gateway in front of it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mcp.types as t
import uvicorn
from mcp.server import Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from processes import POLL, free_port, listening

START_TIMEOUT = 20.0
TOOLS = ("ask", "crash", "hidden", "look", "note", "pay")
HIDDEN_WORDS = "moonlit-archive"
"""Stands in the definition of the tool `hidden` only."""
SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "delay": {"type": "number"},
        "card_token": {"type": "string"},
        "amount": {"type": "integer"},
        "currency": {"type": "string"},
    },
}


class Recorder:
    """The server `name`; appends a JSON object to the file `record` for each execution before it answers."""

    def __init__(self, name: str, record: Path) -> None:
        self.name = name
        self._file = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.server = Server(name, on_list_tools=self.list_tools, on_call_tool=self.call_tool)

    def write(self, **fields: Any) -> None:
        os.write(self._file, json.dumps({"server": self.name, **fields}).encode() + b"\n")

    async def list_tools(self, ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
        words = {"hidden": HIDDEN_WORDS}
        return t.ListToolsResult(
            tools=[t.Tool(name=name, description=words.get(name), input_schema=SCHEMA) for name in TOOLS]
        )

    async def call_tool(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
        arguments = params.arguments or {}
        text = arguments.get("text", "")
        secret = ctx.request.headers.get("authorization") if ctx.request else os.environ.get("SECRET")
        meta: Any = ctx.meta or {}
        self.write(
            tool=params.name, text=text, secret=secret, key=meta.get("toolgate/key"), trace=meta.get("traceparent")
        )
        if params.name == "crash":
            os._exit(3)
        if params.name == "ask":
            schema = {"type": "object", "properties": {}}
            await ctx.session.elicit_form("sure?", schema, related_request_id=ctx.request_id)
        await asyncio.sleep(arguments.get("delay", 0))
        return t.CallToolResult(content=[t.TextContent(text=text)])

    async def serve_http(self, port: int) -> None:
        app = self.server.streamable_http_app()

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                self.write(
                    headers=[[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]]
                )
            await app(scope, receive, send)

        config = uvicorn.Config(noting, host="127.0.0.1", port=port, log_level="critical", ws="none")
        await uvicorn.Server(config).serve()

    async def serve_stdio(self, *, stubborn: bool) -> None:
        """`stubborn`: neither the end of standard input nor SIGTERM ends it."""
        self.write(started=os.getpid(), environ=dict(os.environ))
        if stubborn:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        async with stdio_server() as (read, write):
            await self.server.run(read, write, self.server.create_initialization_options())
        if stubborn:
            await asyncio.Event().wait()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("record", type=Path)
    parser.add_argument("--port", type=int, help="serve HTTP there, else standard input and output")
    parser.add_argument("--stubborn", action="store_true")
    given = parser.parse_args(arguments)
    recorder = Recorder(given.name, given.record)
    if given.port is None:
        asyncio.run(recorder.serve_stdio(stubborn=given.stubborn))
    else:
        asyncio.run(recorder.serve_http(given.port))


def _nurse() -> None:
    """Fork a recorder for each line of standard input, a JSON list of arguments, and print its process id."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            main(json.loads(line))
            os._exit(0)
        print(child, flush=True)


class Nursery:
    """Starts recorders by forking, which takes milliseconds where a new interpreter takes seconds."""

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, "nursery"]
        self._nurse = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._nurse:
            self._nurse.terminate()

    def start(self, *arguments: str) -> int:
        assert self._nurse.stdin and self._nurse.stdout
        self._nurse.stdin.write(json.dumps(arguments) + "\n")
        return int(self._nurse.stdout.readline())


class Shop:
    """One recorder over HTTP, on a port it keeps: it can be killed and started again."""

    def __init__(self, nursery: Nursery, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self.record = folder / f"{name}.jsonl"
        self._nursery = nursery
        self._process = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    def launch(self) -> None:
        """Start it without waiting."""
        self._process = self._nursery.start(self.name, str(self.record), "--port", str(self.port))

    def start(self) -> None:
        self.launch()
        wait_until(lambda: listening(self.port), START_TIMEOUT)

    def kill(self) -> None:
        if self._process:
            os.kill(self._process, signal.SIGKILL)
            self._process = 0

    def executions(self) -> list[dict[str, Any]]:
        return [line for line in lines(self.record) if "tool" in line]


@contextmanager
def shops(nursery: Nursery, folder: Path, *names: str) -> Iterator[list[Shop]]:
    """Recorders that are running inside the block."""
    made = [Shop(nursery, name, folder) for name in names]
    try:
        for shop in made:
            shop.launch()
        wait_until(lambda: all(listening(shop.port) for shop in made), START_TIMEOUT)
        yield made
    finally:
        for shop in made:
            shop.kill()


def lines(record: Path) -> list[dict[str, Any]]:
    """What a recorder wrote; nothing when it never ran."""
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def wait_until(condition: Any, seconds: float) -> float:
    """Wait until a condition holds, at most `seconds`; the seconds it took. Raises TimeoutError."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > seconds:
            raise TimeoutError(f"not within {seconds} seconds")
        time.sleep(POLL)
    return time.monotonic() - begun


if __name__ == "__main__":
    if sys.argv[1:] == ["nursery"]:
        _nurse()
    else:
        main(sys.argv[1:])

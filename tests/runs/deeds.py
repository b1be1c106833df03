"""A real MCP server whose tools do things and undo them, and write down each execution that took effect.

`do` NAME is undone by `undo` NAME, `put` by the idempotent `take`, `wish` by `unwish`, whose argument its answer lacks.
A name says how the server behaves: `name!2` is not undone at the first two attempts, `name~` not before the file
`patience` is there beside the record, what is done to `name?` is never answered, nor is the first undoing of `name&`;
`name%` is not done at all.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import mcp.types as t
from mcp.server import ServerRequestContext
from processes import free_port, listening, start, stop
from recorder import Recorder, lines

DOING = ("do", "put", "wish", "note", "look", "ask")
NAMES = (*DOING, "undo", "take", "unwish")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "delay": {"type": "number"}, "why": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
FACTS = """
tools.do.compensate = { tool = "undo", with = { name = "$.result.made.name", why = "rolled back" } }
tools.put.compensate = { tool = "take", with = { name = "$.arguments.name" } }
tools.take.idempotent = true
tools.wish.compensate = { tool = "unwish", with = { name = "$.result.nowhere" } }
tools.look.read_only = true
"""
"""What the gateway's configuration declares of them."""


class Deeds(Recorder):
    """The server itself."""

    def __init__(self, name: str, record: Path) -> None:
        super().__init__(name, record)
        self.record = record
        self.attempts: Counter[str] = Counter()

    async def list_tools(self, ctx: ServerRequestContext, params: Any) -> t.ListToolsResult:
        return t.ListToolsResult(tools=[t.Tool(name=name, input_schema=SCHEMA) for name in NAMES])

    async def call_tool(self, ctx: ServerRequestContext, params: t.CallToolRequestParams) -> Any:
        arguments = params.arguments or {}
        name, meta = arguments["name"], ctx.meta or {}
        await asyncio.sleep(arguments.get("delay", 0) / 2)
        if name.endswith("%") if params.name in DOING else self._refuses(name):
            return t.CallToolResult(content=[t.TextContent(text="not now")], is_error=True)
        self.write(tool=params.name, name=name, key=meta.get("toolgate/key"), at=time.monotonic(), arguments=arguments)
        await asyncio.sleep(arguments.get("delay", 0) / 2)
        if (name.endswith("?") and params.name in DOING) or (name.endswith("&") and self.attempts[name] == 1):
            await asyncio.Event().wait()
        made: dict[str, Any] = {"made": {"name": name}}
        if params.name == "put":
            return t.CallToolResult(content=[t.TextContent(text=json.dumps(made))])
        return t.CallToolResult(content=[t.TextContent(text="done")], structured_content=made)

    def _refuses(self, name: str) -> bool:
        self.attempts[name] += 1
        stubborn = int(name.partition("!")[2] or 0)
        patient = name.endswith("~") and not (self.record.parent / "patience").exists()
        return patient or self.attempts[name] <= stubborn


class Workshop:
    """The server in a process of its own, on a port that it keeps."""

    def __init__(self, folder: Path, name: str = "works") -> None:
        self.name = name
        self.folder = folder
        self.port = free_port()
        self.record = folder / f"{name}.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = (sys.executable, __file__, self.name, str(self.record), str(self.port))
        log, path = self.folder / f"{self.name}.log", str(Path(__file__).parents[1])
        self._process = start(command, lambda: listening(self.port), log, {**os.environ, "PYTHONPATH": path})

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            stop(self._process)
            self._process = None

    @property
    def patience(self) -> Path:
        """Once this file is there, what ends in `~` is undone."""
        return self.folder / "patience"

    def table(self, extra: str = "") -> str:
        """Its table in `gateway.toml`."""
        return f'[servers.{self.name}]\nurl = "http://127.0.0.1:{self.port}/mcp"\n{extra}\n{FACTS}\n'

    def deeds(self, run: str) -> list[tuple[str, str]]:
        """What took effect, (tool, name), of names that begin with `run` and a point, in order."""
        return [
            (line["tool"], line["name"])
            for line in lines(self.record)
            if "tool" in line and line["name"].startswith(f"{run}.")
        ]


if __name__ == "__main__":
    asyncio.run(Deeds(sys.argv[1], Path(sys.argv[2])).serve_http(int(sys.argv[3])))

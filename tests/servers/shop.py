"""Running the servers under test, and talking to them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from servers.__main__ import SERVERS

ROOT = Path(__file__).parents[2]
KEYS = {f"{server.name.upper()}_KEY": f"key-of-{server.name}" for server in SERVERS}
START_SECONDS = 20.0

Call = Callable[..., Any]


class Failed(Exception):
    """A tool answered with an error result; its text."""


def tell(client: Client) -> Call:
    """`await call("tool", argument=...)` gives the structured content, or raises Failed."""

    async def call(name: str, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(name, arguments, meta=meta)
        if result.is_error:
            raise Failed(result.content[0].text)
        return result.structured_content

    return call


@dataclass(frozen=True)
class Running:
    """A real server process, or all eight, and what it wrote to stderr until it was ready."""

    process: subprocess.Popen[str]
    lines: list[str]

    def url(self, server: str) -> str:
        found = [re.search(rf"^{server} ready on (\S+)$", line) for line in self.lines]
        return next(match[1] for match in found if match)


@contextmanager
def running(*command: str, servers: int = 1, keys: dict[str, str] = KEYS) -> Iterator[Running]:
    environment = {"PATH": os.environ["PATH"], **keys}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            lines: list[str] = []
            deadline = time.monotonic() + START_SECONDS
            while sum(" ready on " in line for line in lines) < servers:
                line = process.stderr.readline()
                assert line, f"ended early: {lines}"
                assert time.monotonic() < deadline
                lines.append(line.strip())
            yield Running(process, lines)
        finally:
            process.kill()


@asynccontextmanager
async def dialled(url: str, key: str, mode: str = "auto") -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {key}"}) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client

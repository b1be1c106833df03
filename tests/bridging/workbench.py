"""A gateway with workshops of every kind behind it."""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridging_clients import Era
from gateway_process import GatewayProcess
from processes import free_port, listening, running

WORKSHOP = Path(__file__).with_name("workshop.py")
KINDS = ("legacy", "modern", "stdio")
ASK_TIMEOUT = 2.0
PAGE = 7

SETTINGS = f"page_size = {PAGE}\nask_timeout = {ASK_TIMEOUT}\nmax_body = 65536"
SHARED = """
[throttle]
per_second = 100.0
burst = 100

[breaker]
cooldown = 0.5
"""
ALL = """
agent = "{agent}"
description = "Uses all of it but what is hidden."
[[allow]]
tool = "*/*"
[[allow]]
resource = "*/*"
[[allow]]
prompt = "*/*"
[[deny]]
tool = "*/hidden*"
"""
AGENTS = ("ada", "bob", "cleo", "flood")
POLICIES = {
    **{f"{agent}.toml": ALL.format(agent=agent) for agent in ("ada", "bob", "flood")},
    "cleo.toml": """
agent = "cleo"
description = "Looks at a little of one server, and pays small sums."
[[allow]]
tool = "modern/rich"
[[allow]]
tool = "modern/pay"
where = { amount = { maximum = 100 } }
[[allow]]
resource = "modern/workshop://note/1"
""",
}


@dataclass(frozen=True, slots=True)
class Record:
    """What really happened in a workshop, written down by itself."""

    file: Path

    def events(self, tool: str, tag: str, what: str | None = None) -> list[dict[str, Any]]:
        """Events of calls of `tool` with this `tag` argument, oldest first."""
        return [
            event
            for event in self.all(what)
            if event.get("tool") == tool and event.get("arguments", {}).get("tag") == tag
        ]

    def all(self, what: str | None = None) -> list[dict[str, Any]]:
        events = [json.loads(line) for line in self.file.read_text().splitlines()] if self.file.exists() else []
        return [event for event in events if what in (None, event["what"])]


@dataclass(frozen=True, slots=True)
class Bench:
    """`gateway` with the servers of KINDS behind it, and odd ones."""

    folder: Path
    gateway: GatewayProcess
    ports: dict[str, int]
    tokens: dict[str, dict[str, str]]

    def headers(self, agent: str) -> dict[str, str]:
        """What a client of this agent sends; the same token each time."""
        return self.tokens[agent]

    def metrics(self) -> str:
        with urllib.request.urlopen(self.gateway.url("/metrics"), timeout=5) as response:
            return str(response.read(), "utf-8")

    def record(self, server: str) -> Record:
        return Record(self.folder / f"{server}.record")

    def url(self, server: str | None = None) -> str:
        return self.gateway.url("/mcp" if server is None else f"/mcp/{server}")


def workshop_command(folder: Path, name: str, era: Era, port: int | None = None) -> tuple[str, ...]:
    command = (sys.executable, str(WORKSHOP), "--record", str(folder / f"{name}.record"), "--era", era)
    return command if port is None else (*command, "--port", str(port))


def _servers(folder: Path, ports: dict[str, int]) -> str:
    command, *arguments = workshop_command(folder, "stdio", "legacy")
    modern = f'url = "http://127.0.0.1:{ports["modern"]}/mcp"\nera = "modern"'
    return f"""{SHARED}
[servers.legacy]
url = "http://127.0.0.1:{ports["legacy"]}/mcp"
era = "legacy"
[servers.modern]
{modern}
[servers.stdio]
command = {json.dumps(command)}
args = {json.dumps(arguments)}
era = "legacy"

[servers.narrow]
{modern}
max_concurrent = 1
[servers.hasty]
{modern}
timeout = 0.3
[servers.patient]
url = "http://127.0.0.1:{ports["legacy"]}/mcp"
era = "legacy"
timeout = 0.5
[servers.locked]
{modern}
[servers.locked.credentials]
bob = {{ Authorization = "Bearer bob" }}
[servers.frail]
url = "http://127.0.0.1:{ports["frail"]}/mcp"
era = "modern"
"""


@contextmanager
def open_bench(folder: Path) -> Iterator[Bench]:
    ports = {name: free_port() for name in ("legacy", "modern", "frail")}
    with ExitStack() as stack:
        for era in ("legacy", "modern"):
            port = ports[era]
            command = workshop_command(folder, era, era, port)
            stack.enter_context(running(command, lambda port=port: listening(port), folder / f"{era}.log"))
        gateway = GatewayProcess(folder, _servers(folder, ports), POLICIES, settings=SETTINGS)
        stack.enter_context(gateway)
        tokens = {agent: gateway.headers(agent) for agent in AGENTS}
        yield Bench(folder, gateway, ports, tokens)

"""A gateway before three criers, on either database, and agents that are alike in everything but their tokens."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from databases import new_database
from gateway_process import GatewayProcess
from processes import free_port, listening, running
from recorder import lines

CRIER = Path(__file__).with_name("crier.py")
ERAS = {"old": "legacy", "new": "modern", "pipe": "legacy"}
GATED = '[[allow]]\ntool = "*/pay"\ngate = { type = "approval" }\n'


@dataclass(frozen=True, slots=True)
class Square:
    """Where criers stand, behind a gateway. `headers` of each agent."""

    gateway: GatewayProcess
    folder: Path
    headers: Mapping[str, Mapping[str, str]]

    def ran(self) -> Counter[str]:
        """How often each text was cried, by what the criers wrote down themselves."""
        return Counter(line["text"] for line in self.lines())

    def lines(self) -> list[dict[str, Any]]:
        return [line for server in ERAS for line in lines(self.folder / f"{server}.jsonl")]


def policy(agent: str) -> str:
    return (
        f'agent = "{agent}"\ndescription = "Cries."\n[[allow]]\ntool = "*/cry"\n{GATED}[[allow]]\ntool = "toolgate/*"\n'
    )


@contextmanager
def square(folder: Path, kind: str, agents: Sequence[str], tables: str = "") -> Iterator[Square]:
    """`kind` of database; every agent has the same rights. `tables` are more of `gateway.toml`."""
    with ExitStack() as stack:
        database = f'database = "{stack.enter_context(new_database())}"\n' if kind == "postgresql" else ""
        places = {
            "pipe": f'command = "{sys.executable}"\nargs = {json.dumps([str(CRIER), str(folder / "pipe.jsonl")])}'
        }
        for server in ("old", "new"):
            port = free_port()
            command = (sys.executable, str(CRIER), str(folder / f"{server}.jsonl"), "--port", str(port))
            stack.enter_context(running(command, lambda port=port: listening(port), folder / f"{server}.log"))
            places[server] = f'url = "http://127.0.0.1:{port}/mcp"'
        servers = "".join(
            f'[servers.{name}]\n{place}\nera = "{ERAS[name]}"\nmax_concurrent = 2000\ntimeout = 100\n'
            for name, place in places.items()
        )
        policies = {f"{agent}.toml": policy(agent) for agent in agents}
        gateway = stack.enter_context(GatewayProcess(folder, tables + servers, policies, settings=database))
        with gateway.tokens() as tokens:
            made = {agent: tokens.create(agent, expires=None, now=0.0)[0] for agent in agents}
        yield Square(gateway, folder, {agent: {"Authorization": f"Bearer {made[agent]}"} for agent in agents})

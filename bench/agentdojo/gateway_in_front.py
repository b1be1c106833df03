"""The gateway as a process of its own in front of a suite's tool server, under one of the policies."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from toolserver import ToolServer

from gateway.identity import Tokens
from gateway.reviewers import Reviewers
from gateway.store import Store

HERE = Path(__file__).parent
MODEL = HERE.parents[1] / "policies" / "model.conf"
POLICIES = ("none", "read-only", "approve-writes", "ours")
START_TIMEOUT = 180.0
"""Seconds. It reads a policy file for each run."""
FACTS = {"workspace": "", "banking": 'tools.update_password.arguments.password.kind = "secret"\n'}
"""What `gateway.toml` declares of a suite's tools."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway. `tokens` has one for each agent, by name."""

    url: str
    reviewer: str
    tokens: dict[str, str]


def configuration(suite: str, port: int, upstream: str) -> str:
    """`gateway.toml`. A call that needs consent is answered soon: the scripted agent then asks the reviewer."""
    return f'[gateway]\nport = {port}\n[approvals]\nhold = 0.1\n[servers.{suite}]\nurl = "{upstream}"\n{FACTS[suite]}'


@contextmanager
def gateway(policy: str, server: ToolServer, agents: Sequence[str], folder: Path) -> Iterator[Gateway]:
    """Serve `policies/POLICY/SUITE`, for each of `agents` as if it were the only one, so that none uses up limits of
    another. Raises RuntimeError, with what the gateway said, when it does not get ready.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    config, log = folder / "gateway.toml", folder / "gateway.log"
    config.write_text(configuration(server.name, port, server.url))
    (folder / "policies").mkdir()
    (folder / "policies" / "model.conf").write_text(MODEL.read_text())
    text = (HERE / "policies" / policy / server.name / "assistant.toml").read_text()
    for agent in agents:
        (folder / "policies" / f"{agent}.toml").write_text(text.replace('"assistant"', f'"{agent}"', 1))
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=HERE.parents[1])
    try:
        _wait_for(process, f"http://127.0.0.1:{port}/readyz", log)
        yield _with_tokens(folder, f"http://127.0.0.1:{port}", agents)
    finally:
        process.terminate()
        process.wait()


def _wait_for(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.05)
    raise RuntimeError(f"the gateway did not get ready:\n{log.read_text(errors='replace')}")


def _with_tokens(folder: Path, url: str, agents: Sequence[str]) -> Gateway:
    store = Store(folder / "var" / "toolgate.db")
    tokens = Tokens(store)
    try:
        made = {agent: tokens.create(agent, expires=None, now=time.time())[0] for agent in agents}
        return Gateway(url, Reviewers(store).create("kim", expires=None)[0], made)
    finally:
        tokens.close()
        store.stop()

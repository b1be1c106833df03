"""Claude Code waits for people. Opt-in, for it installs a large program from npm:

    TOOLGATE_CLAUDE=1 python -m pytest tests/waiting/test_waiting_claude.py

It runs on loopback, with an empty environment and a home of its own, against the scripted Messages API. With
TOOLGATE_CLAUDE naming the folder of an installation, nothing is installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from raw_client import eventually
from waiting_office import Office

from agents.scripted.conversation import Call, call_tools, text_of
from agents.scripted.server import KEY, serve

pytestmark = pytest.mark.skipif("TOOLGATE_CLAUDE" not in os.environ, reason="Claude Code is large: TOOLGATE_CLAUDE=1")

PACKAGE = "@anthropic-ai/claude-code"
TIMEOUT = 90.0
PAY, AWAIT = "mcp__gateway__till__pay", "mcp__gateway__toolgate__await_approval"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    given = Path(os.environ["TOOLGATE_CLAUDE"])
    folder = given if given.is_dir() else tmp_path_factory.mktemp("npm")
    if not given.is_dir():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", PACKAGE], cwd=folder, check=True, timeout=300)
    return folder / "node_modules/.bin/claude"


class Model:
    """Calls `pay`, comes back with the ticket of a pending answer, and says what it got; keeps what it was told."""

    def __init__(self, amount: int) -> None:
        self.amount = amount
        self.told: list[dict[str, Any]] = []

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        if PAY not in {tool["name"] for tool in request.get("tools", [])}:
            return _says("Yes.")
        blocks = [block for message in request["messages"] for block in _blocks(message)]
        self.told = [block for block in blocks if block["type"] == "tool_result"]
        if not self.told:
            return call_tools([Call(PAY, {"amount": self.amount})], self.amount)
        text = text_of(self.told[-1]["content"])
        if text.startswith("NOT EXECUTED"):
            ticket = (
                text.split("Approval ")[1].split()[0] if "Approval " in text else text.split("Ticket ")[1].split()[0]
            )
            return call_tools([Call(AWAIT, {"ticket": ticket})], len(self.told))
        return _says(f"I was told: {text}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder


async def _run(program: Path, home: Path, office: Office, model: Model, after: int = 0, **decision: Any) -> str:
    """What Claude Code prints for a task whose call is decided on once the model was told `after` results."""
    server = {"type": "http", "url": office.gateway.url(), "headers": dict(office.headers), "alwaysLoad": True}
    config = home / "mcp.json"
    config.write_text(json.dumps({"mcpServers": {"gateway": server}}))
    command = [str(program), "-p", "Pay what is due.", "--mcp-config", str(config), "--strict-mcp-config"]
    command += ["--allowedTools", "mcp__gateway"]
    with serve(model) as api:
        environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "ANTHROPIC_BASE_URL": api, "ANTHROPIC_AUTH_TOKEN": KEY}
        environ |= {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=home, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        try:
            ticket = await office.ticket(model.amount, TIMEOUT)
            await eventually(lambda: len(model.told) >= after, TIMEOUT)
            office.decide(ticket.id, **decision)
            async with asyncio.timeout(TIMEOUT):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    return printed.decode()


async def test_claude_code_is_held_until_the_decision(program: Path, home: Path, desk: Office) -> None:
    model = Model(6001)
    printed = await _run(program, home, desk, model)
    assert "I was told: " in printed and "6001" in printed
    assert len(model.told) == 1
    assert len(desk.paid(6001)) == 1


async def test_claude_code_comes_back_with_the_ticket_of_a_pending_answer(
    program: Path, home: Path, hasty: Office
) -> None:
    model = Model(6011)
    printed = await _run(program, home, hasty, model, after=1)
    assert "I was told: " in printed and "6011" in printed
    assert len(model.told) > 1
    assert len(hasty.paid(6011)) == 1


async def test_the_words_of_a_rejection_reach_the_model_of_claude_code(program: Path, home: Path, desk: Office) -> None:
    model = Model(6021)
    await _run(program, home, desk, model, verdict="reject", words="Not without an invoice.")
    assert model.told[-1]["is_error"]
    assert "Not without an invoice." in text_of(model.told[-1]["content"])
    assert not desk.paid(6021)


def _says(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "stop_reason": "end_turn"}


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return content if isinstance(content, list) else []

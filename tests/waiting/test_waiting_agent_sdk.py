"""The Claude Agent SDK waits for people. Opt-in, for it is large and brings a program of its own:

    TOOLGATE_AGENT_SDK=/path/to/python python -m pytest tests/waiting/test_waiting_agent_sdk.py

names a Python that has `claude-agent-sdk`. It runs on loopback, with an empty environment and a home of its own,
against the scripted Messages API.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from waiting_office import Office

from agents.scripted.conversation import Call, call_tools, text_of
from agents.scripted.server import KEY, serve

pytestmark = pytest.mark.skipif("TOOLGATE_AGENT_SDK" not in os.environ, reason="large: TOOLGATE_AGENT_SDK=PYTHON")
CLIENT = Path(__file__).parent / "waiting_agent_sdk.py"
PAY, AMOUNT, TIMEOUT = "mcp__gateway__till__pay", 7001, 90.0


def model(request: dict[str, Any]) -> dict[str, Any]:
    """Calls `pay`, and says what it got."""
    if PAY not in {tool["name"] for tool in request.get("tools", [])}:
        return {"content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn"}
    blocks = [
        block
        for message in request["messages"]
        if not isinstance(message["content"], str)
        for block in message["content"]
    ]
    results = [block for block in blocks if block["type"] == "tool_result"]
    if not results:
        return call_tools([Call(PAY, {"amount": AMOUNT})], AMOUNT)
    said = f"I was told: {text_of(results[-1]['content'])}"
    return {"content": [{"type": "text", "text": said}], "stop_reason": "end_turn"}


async def test_the_agent_sdk_is_held_until_the_decision(tmp_path: Path, desk: Office) -> None:
    token = desk.headers["Authorization"].removeprefix("Bearer ")
    command = [os.environ["TOOLGATE_AGENT_SDK"], str(CLIENT), desk.gateway.url(), token, "Pay what is due."]
    with serve(model) as api:
        environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "ANTHROPIC_BASE_URL": api}
        environ |= {"ANTHROPIC_AUTH_TOKEN": KEY, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, env=environ, stdin=asyncio.subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        try:
            ticket = await desk.ticket(AMOUNT, TIMEOUT)
            assert not desk.paid(AMOUNT)
            desk.decide(ticket.id)
            async with asyncio.timeout(TIMEOUT):
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert b"I was told: " in printed and str(AMOUNT).encode() in printed
    assert len(desk.paid(AMOUNT)) == 1

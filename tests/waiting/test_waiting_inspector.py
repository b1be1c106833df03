"""The MCP Inspector's command line waits for people, in both eras."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from node_programs import INSPECTOR, needs_node
from processes import finish
from waiting_office import Office, text_of

pytestmark = needs_node

TIMEOUT = 30.0
"""Seconds for one run of the inspector."""


async def _call(office: Office, era: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the inspector prints for one call."""
    command = [*INSPECTOR, "--cli", office.gateway.url(), "--transport", "http", "--protocol-era", era]
    command += ["--format", "json", "--method", "tools/call", "--tool-name", tool]
    command += ["--tool-args-json", json.dumps(arguments)]
    for name, value in office.headers.items():
        command += ["--header", f"{name}: {value}"]
    ran = await asyncio.to_thread(finish, command, TIMEOUT)
    assert ran.returncode == 0, ran.stderr
    result: dict[str, Any] = json.loads(ran.stdout)["result"]
    return result


async def test_the_legacy_inspector_is_held_until_the_decision(desk: Office) -> None:
    call = asyncio.ensure_future(_call(desk, "legacy", "till__pay", amount=5001))
    desk.decide((await desk.ticket(5001)).id)
    assert text_of(await call) == "pay 5001 nobody"
    assert len(desk.paid(5001)) == 1


async def test_the_legacy_inspector_comes_back_with_the_ticket(hasty: Office) -> None:
    pending = await _call(hasty, "legacy", "till__pay", amount=5011)
    ticket = pending["_meta"]["toolgate/pending"]
    assert text_of(pending).startswith("NOT EXECUTED")
    hasty.decide(ticket)
    done = await _call(hasty, "legacy", "toolgate__await_approval", ticket=ticket)
    assert text_of(done) == "pay 5011 nobody"
    assert len(hasty.paid(5011)) == 1


async def test_the_modern_inspector_follows_a_task_to_its_end(desk: Office) -> None:
    call = asyncio.ensure_future(_call(desk, "modern", "till__pay", amount=5021))
    desk.decide((await desk.ticket(5021)).id)
    assert text_of(await call) == "pay 5021 nobody"
    assert len(desk.paid(5021)) == 1

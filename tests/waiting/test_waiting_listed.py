"""What agents are shown of gated tools, and how they say how sure they are."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from gateway_process import ROOT
from waiting_office import CAPABILITIES, Office

from gateway.candidate import build
from gateway.config import load
from gateway.errors import ConfigError


def test_a_policy_that_names_no_tool_of_the_gateways_own_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[gateway]\n")
    shutil.copytree(ROOT / "policies", tmp_path / "policies", ignore=shutil.ignore_patterns("*.toml", "roles"))
    rule = '[[allow]]\ntool = "toolgate/await_aproval"\n'
    (tmp_path / "policies/ada.toml").write_text(f'agent = "ada"\ndescription = "Waits."\n{rule}')
    with pytest.raises(ConfigError, match='did you mean "await_approval"'):
        build(load(tmp_path / "gateway.toml", {}), {})


async def _tools(office: Office) -> dict[str, dict[str, Any]]:
    async with office.raw() as client:
        return {tool["name"]: tool for tool in (await client.request("tools/list", {})).result["tools"]}


async def test_a_gated_tool_promises_no_structure_of_its_answer(hasty: Office) -> None:
    assert "outputSchema" not in (await _tools(hasty))["till__pay"]


async def test_a_confidence_gate_adds_two_arguments_to_the_schema(hasty: Office) -> None:
    tools = await _tools(hasty)
    schema = tools["till__refund"]["inputSchema"]
    assert {*schema["properties"]} == {"amount", "_confidence", "_reason"}
    assert {"amount", "_confidence"} == {*schema["required"]}
    assert schema["properties"]["_confidence"] | {"description": ""} == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "",
    }
    assert "_confidence" not in tools["till__pay"]["inputSchema"]["properties"]


async def test_the_gateways_own_tools_come_last(hasty: Office) -> None:
    names = [*await _tools(hasty)]
    own = [name for name in names if name.startswith("toolgate__")]
    assert own == ["toolgate__await_approval", "toolgate__escalate", "toolgate__rollback", "toolgate__mark_run"]
    assert names[-len(own) :] == own


@pytest.mark.parametrize("place", ["arguments", "meta"])
async def test_a_sure_caller_passes_and_its_confidence_stays_with_the_gateway(hasty: Office, place: str) -> None:
    amount = 101 if place == "meta" else 102
    said: dict[str, Any] = {"_confidence": 0.9, "_reason": "It is due."}
    meta = {"toolgate/confidence": 0.9, "toolgate/reason": "It is due."}
    async with hasty.raw() as client:
        arguments = {"amount": amount, **({} if place == "meta" else said)}
        reply = await client.call("till__refund", arguments, **(meta if place == "meta" else {}))
    assert reply.text == f"refund {amount} nobody"
    assert [line["arguments"] for line in hasty.paid(amount)] == [{"amount": amount}]


@pytest.mark.parametrize(("number", "said"), [*enumerate([None, 0.79, "0.9", True, 1.1, -1, [0.9]])], ids=repr)
async def test_a_caller_that_is_not_sure_or_does_not_say_so_waits(hasty: Office, number: int, said: Any) -> None:
    amount = 110 + number
    arguments = {"amount": amount, "_reason": "A guess."} | ({} if said is None else {"_confidence": said})
    async with hasty.raw() as client:
        reply = await client.call("till__refund", arguments)
    (ticket,) = hasty.asked(amount)
    assert reply.result["_meta"]["toolgate/pending"] == ticket.id
    assert (ticket.confidence, ticket.reason) == (0.79 if said == 0.79 else 0, "A guess.")
    assert ticket.given == {"amount": amount}


async def test_tasks_are_announced_to_modern_clients(hasty: Office) -> None:
    async with hasty.raw() as client:
        told = (await client.request("server/discover", {})).result["capabilities"]
    assert told["extensions"] == {"io.modelcontextprotocol/tasks": {}}


async def test_the_arguments_of_others_are_not_taken_out(hasty: Office) -> None:
    """A tool without a confidence gate gets what it is given, and refuses it if it does not take it."""
    async with hasty.raw() as client:
        await client.call("till__pay", {"amount": 120, "_confidence": 1})
    (ticket,) = hasty.asked(120)
    assert ticket.given == {"amount": 120, "_confidence": 1}


async def test_a_client_is_only_answered_with_a_task_when_this_very_request_says_that_it_can(hasty: Office) -> None:
    plain = {CAPABILITIES: {"elicitation": {"form": {}}, "extensions": {"io.modelcontextprotocol/ui": {}}}}
    async with hasty.raw() as client:
        first, second = await asyncio.gather(
            client.call("till__pay", {"amount": 130}), client.call("till__pay", {"amount": 131}, **plain)
        )
    assert {first.result["resultType"], second.result["resultType"]} == {"complete"}

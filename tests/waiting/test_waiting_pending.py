"""Clients that cannot be kept waiting, or left: the pending answer, and the ways back to the call."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from mcp.client.client import ConnectMode
from raw_client import Legacy, eventually
from waiting_office import SOON, Office, meta_of, office, text_of

MODES: tuple[ConnectMode, ...] = ("legacy", "2026-07-28")


@pytest.mark.parametrize("mode", MODES)
async def test_a_call_that_nobody_decides_on_in_time_says_that_it_was_not_executed(
    hasty: Office, mode: ConnectMode
) -> None:
    amount = 3001 + MODES.index(mode)
    async with hasty.client(mode) as client:
        await client.list_tools()
        result = await client.call_tool("till__pay", {"amount": amount})
        ticket = meta_of(result)["toolgate/pending"]
        assert not result.is_error
        assert text_of(result).startswith(f"NOT EXECUTED. Approval {ticket} is pending")
        assert "toolgate__await_approval" in text_of(result)
        again = await client.call_tool("toolgate__await_approval", {"ticket": ticket})
        assert meta_of(again)["toolgate/pending"] == ticket
        hasty.decide(ticket)
        done = await client.call_tool("toolgate__await_approval", {"ticket": ticket})
        twice = await client.call_tool("toolgate__await_approval", {"ticket": ticket})
    assert (text_of(done), text_of(twice)) == (f"pay {amount} nobody",) * 2
    assert len(hasty.paid(amount)) == 1


async def test_an_identical_call_joins_its_ticket_and_gets_the_result(hasty: Office) -> None:
    async with hasty.client() as client:
        first = await client.call_tool("till__pay", {"amount": 3011})
        second = await client.call_tool("till__pay", {"amount": 3011})
        assert meta_of(first)["toolgate/pending"] == meta_of(second)["toolgate/pending"]
        hasty.decide(meta_of(first)["toolgate/pending"])
        third = await client.call_tool("till__pay", {"amount": 3011})
    assert text_of(third) == "pay 3011 nobody"
    assert len(hasty.paid(3011)) == 1


@pytest.mark.parametrize("back", ["await_approval", "identical"])
async def test_a_client_that_leaves_finds_its_call_again(desk: Office, back: str) -> None:
    amount = 3021 if back == "identical" else 3022
    async with desk.client() as client:
        call = asyncio.ensure_future(client.call_tool("till__pay", {"amount": amount}))
        ticket = await desk.ticket(amount)
        call.cancel()
        await asyncio.wait([call])
    desk.decide(ticket.id)
    assert not desk.paid(amount)
    async with desk.client() as client:
        tool, arguments = ("toolgate__await_approval", {"ticket": ticket.id}), ("till__pay", {"amount": amount})
        result = await client.call_tool(*(tool if back == "await_approval" else arguments))
    assert text_of(result) == f"pay {amount} nobody"
    assert len(desk.paid(amount)) == 1


async def test_the_wait_is_over_at_once_for_what_was_decided_before(hasty: Office) -> None:
    async with hasty.client() as client:
        pending = await client.call_tool("till__pay", {"amount": 3031})
        ticket = meta_of(pending)["toolgate/pending"]
        hasty.decide(ticket, "reject", words="Ask Grace first.")
        result = await client.call_tool("toolgate__await_approval", {"ticket": ticket})
    assert result.is_error
    assert "Ask Grace first." in text_of(result)


async def test_another_agents_ticket_and_an_absent_one_get_the_same_answer(hasty: Office) -> None:
    async with hasty.client() as ada, hasty.raw(agent="bob") as bob:
        pending = await ada.call_tool("till__pay", {"amount": 3041})
        ticket = meta_of(pending)["toolgate/pending"]
        theirs = await bob.call("toolgate__await_approval", {"ticket": ticket})
        absent = await bob.call("toolgate__await_approval", {"ticket": "aaaaaaaaaaaaaaaa"})
    assert theirs.reason == absent.reason == "ticket_unknown"
    assert theirs.text == absent.text


async def test_the_gateways_own_tools_have_their_full_names_on_the_face_of_one_server(hasty: Office) -> None:
    async with hasty.raw("/mcp/till") as client:
        assert {"pay", "toolgate__await_approval", "toolgate__escalate"} <= {*await client.tools()}
        pending = await client.call("pay", {"amount": 3051})
        ticket = pending.result["_meta"]["toolgate/pending"]
        hasty.decide(ticket)
        done = await client.call("toolgate__await_approval", {"ticket": ticket})
    assert done.text == "pay 3051 nobody"


async def test_what_people_say_to_a_request_comes_back_in_their_words(hasty: Office) -> None:
    async with hasty.client() as client:
        asked = await client.call_tool("toolgate__escalate", {"reason": "The invoice is in a language I cannot read."})
        (ticket,) = [each for each in hasty.state.approvals.find(states=("pending",)) if each.kind == "request"]
        assert ticket.id in text_of(asked)
        assert ticket.reason == "The invoice is in a language I cannot read."
        waits = await client.call_tool("toolgate__await_approval", {"ticket": ticket.id})
        assert meta_of(waits)["toolgate/pending"] == ticket.id
        hasty.decide(ticket.id, "reject", words="Leave it, I do it myself.")
        told = await client.call_tool("toolgate__await_approval", {"ticket": ticket.id})
    assert not told.is_error
    assert "Leave it, I do it myself." in text_of(told)


async def test_a_gateway_that_stops_answers_those_it_holds_and_keeps_their_tickets(tmp_path: Path) -> None:
    with office(tmp_path, hold=20.0) as made:
        async with made.raw() as modern:
            legacy = Legacy(modern.session, modern.url, modern.headers)
            await legacy.open()
            calls = [asyncio.ensure_future(modern.call("till__pay", {"amount": 3061}))]
            calls.append(asyncio.ensure_future(legacy.call("till__pay", {"amount": 3062})))
            tickets = [(await made.ticket(amount)).id for amount in (3061, 3062)]
            stopped = asyncio.ensure_future(asyncio.to_thread(made.gateway.stop))
            replies = await asyncio.gather(*calls)
            assert await stopped == 0
        assert [reply.result["_meta"]["toolgate/pending"] for reply in replies] == tickets
        made.gateway.start()
        made.decide(tickets[0])
        async with made.raw() as client:
            done = await client.call("toolgate__await_approval", {"ticket": tickets[0]})
        assert done.text == "pay 3061 nobody"
        assert len(made.paid(3061)) == 1
        assert made.get(tickets[1]).state == "pending"


async def test_a_legacy_client_that_cancels_leaves_the_ticket(desk: Office) -> None:
    async with desk.client("legacy") as client:
        call = asyncio.ensure_future(client.call_tool("till__pay", {"amount": 3071}))
        ticket = await desk.ticket(3071)
        call.cancel()
        await asyncio.wait([call])
        desk.decide(ticket.id)
        await eventually(lambda: desk.get(ticket.id).state == "approved", SOON)
        await asyncio.sleep(0.3)  # three looks of whoever might still wait
        assert not desk.paid(3071)

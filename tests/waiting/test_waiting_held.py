"""Clients that are kept waiting: what they hear, what they get, and what ran."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import mcp.types as t
import pytest
from mcp.client.client import ConnectMode
from raw_client import Legacy, Modern, eventually, pool
from waiting_office import SOON, Office, Progress, meta_of, text_of

MODES: tuple[ConnectMode, ...] = ("legacy", "2026-07-28")
FIRST = {"legacy": 1000, "2026-07-28": 2000}


async def _decided(desk: Office, mode: ConnectMode, amount: int, **decision: Any) -> tuple[Any, list[Any], float]:
    """The result of a held call that is decided on, what its client heard, and the seconds it took from then."""
    progress = Progress()
    async with desk.client(mode) as client:
        await client.list_tools()
        call = asyncio.ensure_future(client.call_tool("till__pay", {"amount": amount}, progress_callback=progress))
        ticket = await desk.ticket(amount)
        await eventually(lambda: progress.heard, SOON)
        assert not desk.paid(amount)
        desk.decide(ticket.id, **decision)
        begun = time.monotonic()
        return await call, progress.heard, time.monotonic() - begun


@pytest.mark.parametrize("mode", MODES)
async def test_a_held_call_runs_once_when_it_is_approved(desk: Office, mode: ConnectMode) -> None:
    amount = FIRST[mode] + 1
    result, heard, seconds = await _decided(desk, mode, amount)
    print(f"{mode}: {seconds * 1000:.0f} ms from the decision to the reply")
    assert (text_of(result), result.structured_content) == (f"pay {amount} nobody", {"paid": amount})
    assert len(desk.paid(amount)) == 1
    assert [shown for shown, _ in heard] == sorted({shown for shown, _ in heard})
    assert "Waiting for a person's approval" in str(heard[0][1])


@pytest.mark.parametrize("mode", MODES)
async def test_the_words_of_a_rejection_reach_the_model(desk: Office, mode: ConnectMode) -> None:
    amount = FIRST[mode] + 2
    result, _, _ = await _decided(desk, mode, amount, verdict="reject", words="Not without an invoice.")
    assert result.is_error
    assert "Not without an invoice." in text_of(result)
    assert meta_of(result)["toolgate/refusal"]["reason"] == "rejected"
    assert not desk.paid(amount)


@pytest.mark.parametrize("mode", MODES)
async def test_edited_arguments_are_what_runs(desk: Office, mode: ConnectMode) -> None:
    amount = FIRST[mode] + 3
    changed = {"arguments": {"amount": amount + 90_000}, "words": "Twice is enough."}
    result, _, _ = await _decided(desk, mode, amount, **changed)
    ran, told = [block.text for block in result.content]
    assert ran == f"pay {amount + 90_000} nobody" and result.structured_content is None
    assert f'it ran with {{"amount":{amount + 90_000}}} instead of {{"amount":{amount}}}.' in told
    assert "says: Twice is enough." in told
    assert not desk.paid(amount)
    assert len(desk.paid(amount + 90_000)) == 1


async def test_edited_arguments_are_checked_like_any_others(desk: Office) -> None:
    async with desk.client() as client:
        await client.list_tools()
        call = asyncio.ensure_future(client.call_tool("till__refund", {"amount": 401, "_confidence": 0.1}))
        ticket = await desk.ticket(401)
        desk.decide(ticket.id, arguments={"amount": 999})
        result = await call
    assert result.is_error
    assert meta_of(result)["toolgate/refusal"]["reason"] == "denied"
    assert not desk.paid(999)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("till", ["till", "attic"])
async def test_a_tool_that_asks_after_the_approval_is_answered(desk: Office, mode: ConnectMode, till: str) -> None:
    """The held call of a client of either era, and the question of an upstream of either era."""

    async def answer(context: Any, params: Any) -> t.ElicitResult:
        return t.ElicitResult(action="accept", content={"name": "Grace"})

    amount = FIRST[mode] + (4 if till == "till" else 5)
    async with desk.client(mode, elicitation_callback=answer) as client:
        call = asyncio.ensure_future(client.call_tool(f"{till}__confirm", {"amount": amount}))
        desk.decide((await desk.ticket(amount)).id)
        result = await call
    assert text_of(result) == f"confirm {amount} Grace"
    assert len(desk.paid(amount)) == 1


async def test_a_client_without_progress_token_is_held_in_silence(desk: Office) -> None:
    async with desk.raw() as client:
        call = asyncio.ensure_future(client.call("till__pay", {"amount": 11}))
        ticket = await desk.ticket(11)
        await asyncio.sleep(0.5)  # more than two intervals of progress
        desk.decide(ticket.id)
        reply = await call
    assert reply.text == "pay 11 nobody"
    assert b"notifications/progress" not in reply.raw


async def test_calls_that_wait_for_one_ticket_are_one_execution(desk: Office) -> None:
    async with desk.raw() as client:
        calls = [asyncio.ensure_future(client.call("till__pay", {"amount": 12}, id=number)) for number in range(8)]
        ticket = await desk.ticket(12)
        desk.decide(ticket.id)
        replies = await asyncio.gather(*calls)
    assert {reply.text for reply in replies} == {"pay 12 nobody"}
    assert len(desk.paid(12)) == 1


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_nothing_runs_for_a_token_that_was_revoked_meanwhile(desk: Office, era: str) -> None:
    amount = 21 if era == "legacy" else 22
    with desk.gateway.tokens() as tokens:
        token, row = tokens.create("ada", expires=None, now=time.time())
    async with pool() as session:
        headers = {"Authorization": f"Bearer {token}"}
        if era == "legacy":
            client: Any = Legacy(session, desk.gateway.url(), headers)
            await client.open()
        else:
            client = Modern(session, desk.gateway.url(), headers)
        call = asyncio.ensure_future(client.call("till__pay", {"amount": amount}))
        ticket = await desk.ticket(amount)
        with desk.gateway.tokens() as tokens:
            tokens.revoke(row.id)
        await asyncio.wait([call], timeout=SOON)
        desk.decide(ticket.id)
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.sleep(0.3)  # three looks of whoever waits
    assert not desk.paid(amount)
    assert desk.get(ticket.id).state == "approved"

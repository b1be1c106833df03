"""The HTTP API: programs of reviewers read and decide, and are told precisely what does not work."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from console_parts import REFUND, Api, Office, approval, tiers
from raw_client import eventually

from gateway.admin.streams import Listener
from gateway.approvals.shown import content
from gateway.reviewers import Reviewer

SHOWN = {**REFUND, "card_token": "[secret]", "customer_id": "C-1042"}


@pytest.fixture
def anna(office: Office) -> Api:
    return Api(office, office.reviewer("anna"))


async def reason(answer: Any) -> tuple[int, str]:
    status, body = await answer
    return status, body["error"]["reason"]


async def test_a_ticket_is_told_whole_and_without_secrets(office: Office, anna: Api) -> None:
    ticket = office.seed(statement="It never came.", confidence=0.5, run="run-3")
    status, told = await anna.get(f"/api/tickets/{ticket}")
    assert status == 200
    assert (told["id"], told["kind"], told["state"]) == (ticket, "approval", "pending")
    assert (told["agent"], told["server"], told["tool"], told["run"]) == ("support", "shop", "pay", "run-3")
    assert (told["reason"], told["confidence"], told["words"]) == ("It never came.", 0.5, "Is it cancelled?")
    assert (told["arguments"], told["filled_in"], told["secret"]) == (SHOWN, ["customer_id"], ["card_token"])
    assert (told["before"], told["changed"], told["decisions"]) == (None, [], [])
    assert 86_000 < told["left"] <= 86_400
    assert "tok_4242424242" not in json.dumps(told)


async def test_tickets_are_listed_by_state_and_agent(office: Office, anna: Api) -> None:
    waiting, decided = office.seed(), office.seed(agent="clerk")
    office.decide(decided, "ben")
    _, listed = await anna.get("/api/tickets?state=pending")
    assert waiting in [each["id"] for each in listed["tickets"]]
    assert {each["state"] for each in listed["tickets"]} == {"pending"}
    _, listed = await anna.get("/api/tickets?state=approved,rejected&agent=clerk")
    assert [each["id"] for each in listed["tickets"]] == [decided]
    assert await reason(anna.get("/api/tickets?state=open")) == (422, "state")
    assert await reason(anna.get("/api/tickets?stat=pending")) == (422, "query")


async def test_approving_with_other_arguments(office: Office, anna: Api) -> None:
    ticket = office.seed()
    edit = {**SHOWN, "amount": 450}
    status, told = await anna.post(f"/api/tickets/{ticket}/approve", {"words": "Half.", "arguments": edit})
    assert (status, told["state"], told["arguments"], told["before"]) == (200, "approved", edit, SHOWN)
    assert told["changed"] == ["amount"]
    assert told["decisions"][0] | {"at": ""} == {
        **{"reviewer": "anna", "verdict": "approve", "words": "Half.", "at": ""},
        "edited": True,
    }
    assert office.ticket(ticket).edited == {**REFUND, "amount": 450}


async def test_arguments_left_out_are_left_out_but_for_what_nobody_can_edit(office: Office, anna: Api) -> None:
    ticket = office.seed()
    _, told = await anna.post(f"/api/tickets/{ticket}/approve", {"arguments": {"amount": 1}})
    assert (told["state"], sorted(told["changed"])) == ("approved", ["amount", "text"])
    assert office.ticket(ticket).edited == {"amount": 1, "card_token": REFUND["card_token"]}


async def test_the_same_arguments_are_no_edit(office: Office, anna: Api) -> None:
    ticket = office.seed()
    _, told = await anna.post(f"/api/tickets/{ticket}/approve", {"arguments": SHOWN})
    assert (told["state"], told["before"], told["decisions"][0]["edited"]) == ("approved", None, False)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({**SHOWN, "card_token": "tok_other"}, "card_token is secret"),
        ({**SHOWN, "customer_id": "C-1"}, "customer_id is filled in by the gateway"),
        ({**SHOWN, "amount": 1001}, "The policy of support refuses"),
        ({**SHOWN, "text": 5}, "The tool does not take these arguments"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused(
    office: Office, anna: Api, arguments: dict[str, Any], told: str
) -> None:
    ticket = office.seed()
    status, body = await anna.post(f"/api/tickets/{ticket}/approve", {"arguments": arguments})
    assert (status, body["error"]["reason"]) == (422, "arguments")
    assert told in body["error"]["message"]
    assert office.ticket(ticket).state == "pending"


async def test_a_lost_race_says_who_decided_what(office: Office, anna: Api) -> None:
    ticket = office.seed()
    racers = [Api(office, office.reviewer(name)) for name in ("ada", "bob", "cyd", "dan")]
    answers = await asyncio.gather(*(each.post(f"/api/tickets/{ticket}/approve") for each in racers))
    (winner,) = [body["decisions"][0]["reviewer"] for status, body in answers if status == 200]
    lost = [body["error"] for status, body in answers if status == 409]
    assert [each["reason"] for each in lost] == ["decided"] * 3
    assert all(f"{winner} said approve" in each["message"] for each in lost)


async def test_who_may_not_decide_hears_why(office: Office, anna: Api) -> None:
    tiered, twice, expired = office.seed(gate=tiers("lead", "anna")), office.seed(gate=approval(approvers=2)), "x"
    assert await reason(anna.post(f"/api/tickets/{tiered}/approve")) == (403, "tier")
    assert (await anna.post(f"/api/tickets/{twice}/approve"))[0] == 200
    assert await reason(anna.post(f"/api/tickets/{twice}/approve")) == (409, "twice")
    assert await reason(anna.post(f"/api/tickets/{expired}/approve")) == (404, "absent")
    assert await reason(anna.post(f"/api/tickets/{twice}/reject")) == (422, "words")
    seen = content(office.ticket(twice))
    office.decide(twice, "ben", arguments={"amount": 2})
    cyd = Api(office, office.reviewer("cyd"))
    assert await reason(cyd.post(f"/api/tickets/{twice}/approve", {"fingerprint": seen})) == (409, "edited")


async def test_while_the_store_cannot_be_written_nothing_is_decided(office: Office, anna: Api) -> None:
    ticket = office.seed()
    with closing(sqlite3.connect(office.state.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await reason(anna.post(f"/api/tickets/{ticket}/approve")) == (503, "unrecorded")
        assert (await anna.get(f"/api/tickets/{ticket}"))[1]["state"] == "pending"
        other.execute("ROLLBACK")

    async def approved() -> bool:
        return (await anna.post(f"/api/tickets/{ticket}/approve"))[0] == 200

    await eventually(approved, 10)
    assert len(office.ticket(ticket).decisions) == 1


async def test_only_a_reviewers_token_gets_in(office: Office) -> None:
    namesake = office.state.reviewers.create("support", expires=None)[0]
    short = office.reviewer("anna", timedelta(seconds=0))
    for token in (None, "", "tr_x", office.gateway.token("support"), namesake, short):
        assert await reason(Api(office, token, "127.0.0.2").get("/api/tickets")) == (401, "unauthenticated")


async def test_host_and_origin_are_checked_as_at_the_door(office: Office, anna: Api) -> None:
    assert await reason(anna.get("/api/tickets", Host="evil.example")) == (421, "unknown_host")
    assert await reason(anna.get("/api/tickets", Origin="https://evil.example")) == (403, "unknown_origin")
    own = f"http://127.0.0.1:{office.gateway.port}"
    assert (await anna.get("/api/tickets", Origin=own))[0] == 200


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", (400, "body")),
        (b"[]", (400, "body")),
        (b'{"words": "a", "words": "b"}', (400, "body")),
        (b'{"word": "a"}', (422, "body")),
        (b'{"words": 1}', (422, "body")),
        (b'{"arguments": []}', (422, "body")),
        (json.dumps({"words": "w" * 4001}).encode(), (422, "words")),
        (json.dumps({"words": "w" * 1_100_000}).encode(), (413, "too_large")),
    ],
)
async def test_a_body_is_taken_exactly_or_not_at_all(
    office: Office, anna: Api, body: bytes, told: tuple[int, str]
) -> None:
    ticket = office.seed()
    assert await reason(anna.post(f"/api/tickets/{ticket}/approve", body)) == told
    assert office.ticket(ticket).state == "pending"


async def test_what_is_not_there_is_told_in_the_same_form(office: Office, anna: Api) -> None:
    assert await reason(anna.get("/api/nothing")) == (404, "not_found")
    assert await reason(anna.get("/api/tickets/x/approve")) == (404, "not_found")
    assert await reason(anna.post("/api/tickets/x/approve", Content_Type="text/plain")) == (415, "content_type")


async def test_statistics_tell_shares_and_waiting_times(office: Office, anna: Api) -> None:
    ticket = office.seed(tool="look", confidence=0.7)
    office.decide(ticket, "ben", "reject", words="No.")
    _, told = await anna.get("/api/stats")
    (share,) = [each for each in told["tools"] if each["tool"] == "look"]
    assert (share["band"], share["rejected"], share["approved"]) == ("0.6-0.8", 1, 0)
    assert share["wait_p50"] < 60


@asynccontextmanager
async def stream(office: Office, token: str) -> AsyncIterator[AsyncIterator[tuple[str, Any]]]:
    """The events of GET /api/events, named and read."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20)) as session,
        session.get(office.url("/api/events"), headers=headers) as response,
    ):
        assert response.content_type == "text/event-stream"

        async def read() -> AsyncIterator[tuple[str, Any]]:
            name = ""
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("data: "):
                    yield name, json.loads(line[6:])

        yield read()


async def test_a_stream_tells_of_each_change(office: Office) -> None:
    async with stream(office, office.reviewer("anna")) as heard:
        assert await anext(heard) == ("ready", {})
        ticket = office.seed()
        changes = (told async for name, told in heard if (name, told.get("id")) == ("ticket", ticket))
        async with asyncio.timeout(5):
            told = await anext(changes)
            assert (told["state"], told["arguments"]) == ("pending", SHOWN)
            office.decide(ticket, "ben")
            told = await anext(changes)
        assert (told["state"], told["decisions"][0]["reviewer"]) == ("approved", "ben")


async def test_a_stream_ends_within_a_second_of_its_token(office: Office) -> None:
    token = office.reviewer("dora")
    async with stream(office, token) as heard:
        assert await anext(heard) == ("ready", {})
        office.state.reviewers.revoke(token[3:13])
        async with asyncio.timeout(2):
            assert [event async for event in heard] == [("end", {})]
    assert await reason(Api(office, token).get("/api/tickets")) == (401, "unauthenticated")


async def test_many_tokens_that_are_not_valid_are_told_to_wait_and_valid_ones_get_in(office: Office) -> None:
    answers = [await reason(Api(office, "tr_x", "127.0.0.3").get("/api/tickets")) for _ in range(12)]
    assert answers[-1] == (429, "throttled")
    assert (await Api(office, office.reviewer("anna"), "127.0.0.3").get("/api/tickets"))[0] == 200


async def test_a_listener_that_is_far_behind_has_to_come_again(office: Office) -> None:
    ticket = office.ticket(office.seed())
    listener = Listener(Reviewer("anna", "x"), lambda ticket: {"id": ticket.id})
    for _ in range(300):
        listener.hear(ticket)
    parts = [await listener.next()]
    assert parts == [None]

"""The log, runs, policy and servers over the API: for reviewers alone, and exact."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from console_parts import REFUND, Api, Office
from insight_parts import ATTACK, RUN, Happened

pytestmark = pytest.mark.anyio
PATHS = ("/api/audit", "/api/audit/1", f"/api/runs/support/{quote(RUN, safe='')}", "/api/matrix", "/api/upstreams")


@pytest.fixture
def anna(office: Office) -> Api:
    return Api(office, office.reviewer("anna"))


async def test_only_reviewers_see_any_of_it(office: Office, happened: Happened) -> None:
    for number, token in enumerate((None, "tr_nonsense", office.gateway.token("support"))):
        for path in PATHS:
            status, told = await Api(office, token, f"127.0.7.{number + 1}").get(path)
            assert (status, told["error"]["reason"]) == (401, "unauthenticated"), path


async def test_events_are_found_in_pages(anna: Api, happened: Happened, office: Office) -> None:
    run = quote(RUN, safe="")
    _, told = await anna.get(f"/api/audit?agent=support&run={run}&reason=denied")
    event = told["events"][0]
    assert (event["kind"], event["server"], event["tool"]) == ("refusal", "shop", "pay")
    assert (event["data"]["arguments"], told["before"]) == ({"text": "x", "amount": 2000}, None)
    assert await anna.get(f"/api/audit/{event['seq']}") == (200, event)
    for _ in range(51):
        office.reviewer("dora")
    _, first = await anna.get("/api/audit?kind=reviewer")
    _, second = await anna.get(f"/api/audit?kind=reviewer&before={first['before']}")
    seqs = [each["seq"] for each in first["events"] + second["events"]]
    assert len(first["events"]) == 50 and second["events"] and seqs == sorted({*seqs}, reverse=True)


@pytest.mark.parametrize(
    "query", ["since=yesterday", "before=-1", "before=9999999999999999999", "agent=a&agent=b", "color=red", "until=1e9"]
)
async def test_what_cannot_be_asked_is_said(anna: Api, query: str) -> None:
    status, told = await anna.get(f"/api/audit?{query}")
    assert status == 422 and told["error"]["message"]


async def test_an_event_or_run_that_is_not_there_is_absent(anna: Api) -> None:
    for path in ("/api/audit/999999999", "/api/audit/x", "/api/audit/-1", "/api/runs/support/none", "/api/runs/x/none"):
        status, told = await anna.get(path)
        assert (status, told["error"]["reason"]) == (404, "not_found"), path


async def test_a_run_is_told_as_the_command_line_does(anna: Api, happened: Happened) -> None:
    status, told = await anna.get(PATHS[2])
    assert (status, told["run"], told["counts"]) == (200, RUN, {"refused": 2, "asked": 1, "ok": 1})
    asked = next(each for each in told["entries"] if each["kind"] == "ticket")
    assert (asked["ticket"], asked["decisions"][0]["words"]) == (happened.ticket, f"Go on. {ATTACK}")
    _, told = await anna.get(f"/api/runs/clerk/{quote(RUN, safe='')}")
    assert REFUND["card_token"] not in json.dumps(told) and len(told["entries"]) == 2


async def test_the_matrix_names_the_rules(anna: Api) -> None:
    _, told = await anna.get("/api/matrix")
    (pay,) = (each for each in told["tools"] if (each["server"], each["tool"]) == ("shop", "pay"))
    assert told["agents"] == ["clerk", "support"]
    assert pay["agents"]["support"]["access"] == "depends" and pay["agents"]["clerk"]["access"] == "yes"
    (rule,) = pay["agents"]["support"]["rules"]
    assert told["rules"][rule]["where"] == {"amount": {"maximum": 1000}}


async def test_servers_are_told_as_they_are(anna: Api) -> None:
    _, told = await anna.get("/api/upstreams")
    (shop,) = told["upstreams"]
    assert (shop["server"], shop["up"], shop["breaker"], shop["in_flight"]) == ("shop", True, "closed", 0)
    assert "pay" in shop["tools"] and shop["withheld"] == {}

"""Clients with the tasks extension (SEP-2663)."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from raw_client import Modern, Reply, eventually, post
from waiting_office import SOON, TASKS, Office, ended, office, task, text_of


async def _opened(client: Modern, tool: str, amount: int, **arguments: Any) -> dict[str, Any]:
    """The task that a call is answered with."""
    created = (await client.call(tool, {"amount": amount, **arguments}, **TASKS)).result
    assert created["resultType"] == "task"
    return created


async def test_a_task_is_there_before_it_is_answered_and_ends_with_the_result(desk: Office) -> None:
    async with desk.raw() as client:
        created = await _opened(client, "till__pay", 4001)
        ticket = desk.get(created["taskId"])
        assert (created["status"], created["ttlMs"]) == ("working", 86_400_000)
        assert datetime.fromisoformat(created["createdAt"]).timestamp() == pytest.approx(ticket.opened, abs=0.001)
        waits = (await task(client, "get", ticket.id)).result
        assert (waits["resultType"], waits["status"], waits["pollIntervalMs"]) == ("complete", "working", 1000)
        desk.decide(ticket.id)
        done = await ended(client, ticket.id)
        again = (await task(client, "get", ticket.id)).result
    assert done["status"] == "completed"
    assert done["result"]["structuredContent"] == {"paid": 4001}
    assert again["result"] == done["result"]
    (execution,) = desk.paid(4001)
    assert execution["capabilities"] == {"elicitation": {"form": {}}, "extensions": {}}


async def test_a_rejected_task_is_completed_with_the_words(desk: Office) -> None:
    async with desk.raw() as client:
        created = await _opened(client, "till__pay", 4011)
        desk.decide(created["taskId"], "reject", words="Not today.")
        done = await ended(client, created["taskId"])
    assert (done["status"], done["result"]["isError"]) == ("completed", True)
    assert "Not today." in text_of(done["result"])
    assert not desk.paid(4011)


async def test_many_polls_at_once_are_one_execution(desk: Office) -> None:
    async with desk.raw() as client:
        created = await _opened(client, "till__pay", 4021)
        desk.decide(created["taskId"], arguments={"amount": 4022})
        states = await asyncio.gather(*(task(client, "get", created["taskId"], id=number) for number in range(20)))
        done = await ended(client, created["taskId"])
    assert {state.result["status"] for state in states} <= {"working", "completed"}
    assert text_of(done["result"]) == "pay 4022 nobody"
    assert (len(desk.paid(4021)), len(desk.paid(4022))) == (0, 1)


async def test_a_task_outlives_the_gateway_that_made_it(tmp_path: Path) -> None:
    with office(tmp_path, hold=20.0) as made:
        async with made.raw() as client:
            first, second = [await _opened(client, "till__pay", amount) for amount in (4031, 4032)]
            made.decide(first["taskId"])
            done = await ended(client, first["taskId"])
            made.gateway.kill()
        made.gateway.start()
        made.decide(second["taskId"])
        async with made.raw() as client:
            again, other = [await ended(client, each["taskId"]) for each in (first, second)]
        assert text_of(done["result"]) == text_of(again["result"]) == "pay 4031 nobody"
        assert text_of(other["result"]) == "pay 4032 nobody"
        assert (len(made.paid(4031)), len(made.paid(4032))) == (1, 1)


async def test_cancelling_withdraws_a_task_that_nobody_decided_on(desk: Office) -> None:
    async with desk.raw() as client:
        created = await _opened(client, "till__pay", 4041)
        cancelled = await task(client, "cancel", created["taskId"])
        assert {key: value for key, value in cancelled.result.items() if key != "_meta"} == {"resultType": "complete"}
        state = (await task(client, "get", created["taskId"])).result
        assert (await task(client, "cancel", created["taskId"])).ok
    assert state["status"] == "cancelled"
    assert desk.get(created["taskId"]).why == "withdrawn"
    assert not desk.paid(4041)


@pytest.mark.parametrize("till", ["till", "attic"])
async def test_what_a_tool_asks_goes_out_with_its_task_and_the_answer_comes_with_an_update(
    desk: Office, till: str
) -> None:
    amount = 4051 if till == "till" else 4052
    async with desk.raw() as client:
        created = await _opened(client, f"{till}__confirm", amount)
        desk.decide(created["taskId"])
        asks: dict[str, Any] = {}

        async def asked() -> bool:
            nonlocal asks
            asks = (await task(client, "get", created["taskId"])).result
            return bool(asks["status"] == "input_required")

        await eventually(asked, SOON)
        ((name, question),) = asks["inputRequests"].items()
        assert (question["method"], question["params"]["message"]) == ("elicitation/create", "Who?")
        answer = {"action": "accept", "content": {"name": "Grace"}}
        await task(client, "update", created["taskId"], inputResponses={"unknown": answer, name: answer})
        done = await ended(client, created["taskId"])
    assert text_of(done["result"]) == f"confirm {amount} Grace"
    assert len(desk.paid(amount)) == 1


async def test_another_agents_task_and_an_absent_one_get_the_same_answer(desk: Office) -> None:
    async with desk.raw() as ada, desk.raw(agent="bob") as bob:
        created = await _opened(ada, "till__pay", 4061)
        answers: list[Reply] = []
        for method in ("get", "update", "cancel"):
            for identity in (created["taskId"], "aaaaaaaaaaaaaaaa"):
                answers.append(await task(bob, method, identity, inputResponses={}))
    assert {json.dumps(answer.message["error"]) for answer in answers} == {
        '{"code": -32602, "message": "There is no such task"}'
    }
    assert desk.get(created["taskId"]).state == "pending"


async def test_tasks_are_for_clients_that_declare_them(desk: Office) -> None:
    async with desk.raw() as client:
        created = await _opened(client, "till__pay", 4071)
        refused = [await task(client, method, created["taskId"], meta={}) for method in ("get", "update", "cancel")]
        listening = await client.request(
            "subscriptions/listen", {"notifications": {"taskIds": [created["taskId"]]}}, id="l"
        )
        headers, body = client.message("tasks/get", {"taskId": created["taskId"]}, 1, **TASKS)
        named = await post(client.session, client.url, {**headers, "Mcp-Name": "another"}, body)
    codes = {reply.message["error"]["code"] for reply in (*refused, listening)}
    assert codes == {-32021}
    assert named.message["error"]["code"] == -32020


async def test_who_listens_to_a_task_hears_of_its_end(desk: Office) -> None:
    async with desk.raw() as client:
        created = await _opened(client, "till__pay", 4081)
        wanted = {"notifications": {"taskIds": [created["taskId"], "aaaaaaaaaaaaaaaa"]}}
        headers, body = client.message("subscriptions/listen", wanted, "l", **TASKS)
        kinds = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        heard: list[dict[str, Any]] = []
        async with client.session.post(client.url, headers={**kinds, **headers}, data=body) as response:
            async for line in response.content:
                if not line.startswith(b"data:"):
                    continue
                heard.append(json.loads(line[5:]))
                if len(heard) == 1:
                    desk.decide(created["taskId"])
                elif heard[-1]["params"]["status"] == "completed":
                    break
    assert heard[0]["params"]["notifications"] == {"taskIds": [created["taskId"]]}
    assert {message["method"] for message in heard[1:]} == {"notifications/tasks"}
    assert text_of(heard[-1]["params"]["result"]) == "pay 4081 nobody"
    assert len(desk.paid(4081)) == 1


async def test_waiting_for_a_ticket_can_be_a_task_too(desk: Office) -> None:
    async with desk.raw() as client:
        asked = await client.call("toolgate__escalate", {"reason": "Which account?"}, **TASKS)
        (ticket,) = [each for each in desk.state.approvals.find(states=("pending",)) if each.kind == "request"]
        assert ticket.id in asked.text
        waits = (await client.call("toolgate__await_approval", {"ticket": ticket.id}, **TASKS)).result
        assert (waits["resultType"], waits["taskId"]) == ("task", ticket.id)
        desk.decide(ticket.id, words="The second one.")
        done = await ended(client, ticket.id)
    assert "The second one." in text_of(done["result"])

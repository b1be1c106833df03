"""Runs outlive their processes: the journal on both databases, and going on after a crash at every entry."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fake_gateway import FakeGateway
from scripted_turns import STOCK, MakeAgent, Turns, answer, calls, text, use

from agents.journal import Journal, Taken
from agents.pipeline import Pipeline, Stage
from agents.runs import Event, Runs

COUNTED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LOOKUP = use(2, "catalog__lookup_product", {"sku": "LAMP-01"})


class Crash(Exception):
    """Stands for the end of the process."""


@pytest.fixture(params=["sqlite", "postgresql"])
async def journals(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Journal]]:
    """Two openings of one journal, as two processes have them."""
    place = str(tmp_path / "agents.db") if request.param == "sqlite" else request.getfixturevalue("postgresql")
    both = [Journal(place), Journal(place)]
    yield both
    for journal in both:
        await journal.close()


async def test_entries_are_read_back_as_they_were_and_a_number_is_given_once(journals: list[Journal]) -> None:
    one, two = journals
    data = {"text": 'Grüße \x00 \n"', "n": [1, None, 2.5]}
    written = await one.append("r/a-b", 1, "started", data)
    with pytest.raises(Taken, match="r/a-b"):
        await two.append("r/a-b", 1, "started", {})
    assert await two.read("r/a-b") == [written]
    assert await two.read("r") == []
    for run in ("r", "r0", "r-1", "r/B", "r/a-b/c"):
        await two.append(run, 1, "started", {})
    assert sorted(await one.runs("r")) == ["r/B", "r/a-b", "r/a-b/c"]
    assert len(await one.runs()) == 6


async def test_a_run_is_driven_by_one_until_it_lets_go_or_its_time_is_over(journals: list[Journal]) -> None:
    one, two = journals
    assert await one.drive("r", "one", 30.0)
    assert await one.drive("r", "one", 0.5)
    assert not await two.drive("r", "two", 30.0)
    assert await two.driven() == {"r"}
    await asyncio.sleep(0.7)
    assert await two.driven() == set()
    assert await two.drive("r", "two", 30.0)
    await one.release("r", "one")
    assert not await one.drive("r", "one", 30.0), "what is another's is not let go of"
    await two.release("r", "two")
    assert await one.drive("r", "one", 30.0)


async def test_a_second_driver_is_told_and_writes_nothing(journals: list[Journal], make_agent: MakeAgent) -> None:
    one, two = (Runs(journal) for journal in journals)
    agent = await make_agent(Turns([]), runs=two)
    async with one.driving("r"):
        with pytest.raises(Taken, match="run r is driven by another process"):
            await agent.run("go", run_id="r")
    assert await journals[0].read("r") == []


async def _pipeline(make_agent: MakeAgent, runs: Runs, asked: Counter[str]) -> Pipeline:
    """Two stages; the models answer by what they are told, as real ones do, and count it."""

    def script(name: str, *turns: dict[str, Any]) -> Any:
        def ask(request: dict[str, Any]) -> dict[str, Any]:
            turn = len(request["messages"]) // 2
            asked[f"{name}-{turn}"] += 1
            return turns[turn]

        return ask

    first = script("first", calls(STOCK, LOOKUP), answer({"n": 0}), answer({"n": 1}))
    second = script("second", calls(STOCK), answer({"n": 2}))
    agents = [await make_agent(each, name=name, runs=runs) for name, each in (("first", first), ("second", second))]
    wants_one = Stage(agent=agents[0], brief=dict, schema=COUNTED, check=lambda _, output: None if output["n"] else "0")
    stages = [wants_one, Stage(agent=agents[1], brief=dict, schema=COUNTED)]
    return Pipeline(name="line", job="Tests.", runs=runs, stages=stages)


async def test_after_a_crash_at_any_entry_nothing_that_is_on_record_is_asked_or_called_again(
    make_agent: MakeAgent, gateway: FakeGateway, tmp_path: Path
) -> None:
    for number in itertools.count(1):
        gateway.calls.clear()
        gateway.own.clear()
        asked: Counter[str] = Counter()
        journal, seen = Journal(tmp_path / f"{number}.db"), []

        async def crash(event: Event, seen: list[Event] = seen, number: int = number) -> None:
            if event.kind not in ("said", "stage", "rejected"):
                seen.append(event)
                if len(seen) == number:
                    raise Crash

        try:
            await (await _pipeline(make_agent, Runs(journal, crash), asked)).run("{}", run_id="r")
        except* Crash:
            pass
        else:
            break
        entries = [entry for name in ("r", *await journal.runs("r")) for entry in await journal.read(name)]
        answers = sum(entry.kind == "answer" for entry in entries)
        answered = {f"{entry.run}/{entry.data['call']['id']}" for entry in entries if entry.kind == "result"}
        asked_before = asked.total()
        run = await (await _pipeline(make_agent, Runs(journal), asked)).run("{}", run_id="r")
        await journal.close()
        assert (run.outcome, json.loads(run.text)) == ("end_turn", {"first": {"n": 1}, "second": {"n": 2}}), number
        assert asked.total() - asked_before == 5 - answers
        made = Counter(call.meta["toolgate/key"] for call in gateway.calls)
        assert made.keys() == {"r/first/toolu_1", "r/first/toolu_2", "r/second/toolu_1"}
        assert {made[key] for key in answered} <= {1}
        assert gateway.marks()[-2:] == [("r/first", "finished"), ("r/second", "finished")]
    await journal.close()
    assert number > 20


async def test_a_call_that_another_process_left_under_way_is_waited_for(
    make_agent: MakeAgent, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.loop._PAUSE", 0.01)
    refusal = {"toolgate/refusal": {"reason": "in_flight", "call": "c1"}}
    busy = {"content": [{"type": "text", "text": "Under way."}], "isError": True, "_meta": refusal}
    done = {"content": [{"type": "text", "text": "10"}], "structuredContent": {"available": 10}}
    answers = iter([busy, busy])
    gateway.instead["inventory__check_stock"] = lambda arguments: next(answers, done)
    run = await (await make_agent(Turns([calls(STOCK), text("ok")]))).run("go", run_id="r")
    assert [result.get("is_error") for _, result in run.calls()] == [None]
    assert [call.meta["toolgate/key"] for call in gateway.calls] == ["r/toolu_1"] * 3


async def test_a_run_that_ended_is_returned_and_another_task_under_its_id_is_an_error(make_agent: MakeAgent) -> None:
    script = Turns([text("done")])
    agent = await make_agent(script)
    first = await agent.run("go", run_id="r")
    assert await agent.run("go", run_id="r") == first
    assert len(script.requests) == 1
    with pytest.raises(ValueError, match="on another task"):
        await agent.run("stop", run_id="r")

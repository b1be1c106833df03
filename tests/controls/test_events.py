"""Intent and outcome events, refusal events, and what is counted of a call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_parts import OK, Below, Clock, begun, call, for_ever, recording, sample
from raw_client import eventually
from sqlalchemy import select

from gateway.audit import Audit, unfinished
from gateway.call import Call, Result
from gateway.controls.audit import RecordRefusals
from gateway.controls.measure import Measure
from gateway.controls.retry import Retry
from gateway.errors import Busy, Denied, Interrupted, Unreachable, Unrecorded
from gateway.metrics import Metrics
from gateway.order import chain
from gateway.store import Store
from gateway.tables import events

SECRET = "4111-canary-1111"


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    store = Store(tmp_path / "toolgate.db")
    store.start()
    yield Audit(store, b"s" * 32, Clock())
    store.stop()


def told(audit: Audit) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Kind, reason and data of every event, in order; what waits to be written is written first."""
    audit.store.stop()
    rows = audit.store.read(select(events).order_by(events.c.seq))
    return [(row.kind, row.reason, json.loads(row.data)) for row in rows]


@pytest.mark.parametrize(
    ("ending", "outcome", "reason"),
    [
        (OK, "ok", None),
        ({"isError": True, "content": []}, "tool_error", None),
        ({"resultType": "input_required"}, "input_required", None),
        (Unreachable("x"), "failed", "upstream_unreachable"),
        (Busy("x"), "failed", "busy"),
        (Interrupted("x"), "unknown", "upstream_interrupted"),
        (ValueError("x"), "unknown", "unexpected"),
    ],
)
async def test_every_way_a_call_ends_has_its_outcome(
    audit: Audit, ending: Result | Exception, outcome: str, reason: str | None
) -> None:
    below = Below([ending])
    ended = await asyncio.gather(recording(audit)(call(), below), return_exceptions=True)
    assert ended == [ending]
    (first, _, _), (second, why, data) = told(audit)
    assert (first, second, why, data["outcome"]) == ("intent", "outcome", reason, outcome)


async def test_a_call_whose_client_leaves_while_it_runs_is_unknown(audit: Audit) -> None:
    below = Below([for_ever])
    running = asyncio.create_task(recording(audit)(call(), below))
    await eventually(lambda: below.calls, 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [(kind, reason, data.get("outcome")) for kind, reason, data in told(audit)][1:] == [
        ("outcome", "cancelled", "unknown")
    ]


async def test_a_call_whose_client_leaves_before_its_intent_is_durable_certainly_did_not_run(audit: Audit) -> None:
    below = Below()
    running = asyncio.create_task(recording(audit)(call(), below))
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert not below.calls
    assert [(kind, reason, data.get("outcome")) for kind, reason, data in told(audit)][1:] == [
        ("outcome", "cancelled", "failed")
    ]


async def test_without_a_durable_intent_nothing_below_runs(audit: Audit) -> None:
    below = Below()
    audit.store.stop()
    with pytest.raises(Unrecorded):
        await recording(audit)(call(), below)
    assert not below.calls and told(audit) == []


async def test_a_refusal_is_written_once_where_it_belongs(audit: Audit) -> None:
    recorded = RecordRefusals(audit)

    async def refused_below_intent(made: Call) -> Result:
        return await recording(audit)(made, Below([Busy("x")]))

    with pytest.raises(Busy):
        await recorded(call(), refused_below_intent)
    with pytest.raises(Denied):
        await recorded(call(), Below([Denied("no", detail="rule 7")]))
    assert [(kind, reason) for kind, reason, _ in told(audit)] == [
        ("intent", None),
        ("outcome", "busy"),
        ("refusal", "denied"),
    ]


async def test_secrets_are_kept_as_a_digest_and_arguments_of_unknown_tools_not_at_all(audit: Audit) -> None:
    arguments = {"card": SECRET, "amount": 5}
    await asyncio.gather(
        audit.intent(call(arguments=arguments, secrets=frozenset({"card"}))),
        audit.refusal(call(arguments=arguments, definition=None), Denied("no")),
        audit.intent(call(arguments={"text": "x" * 70_000})),
    )
    (_, _, known), (_, _, unknown), (_, _, huge) = told(audit)
    assert known["arguments"]["amount"] == 5 and known["arguments"]["card"].startswith("hmac:")
    assert unknown["arguments"].keys() == huge["arguments"].keys() == {"bytes", "digest"}
    assert SECRET not in json.dumps([known, unknown, huge])


async def test_an_attempt_that_may_have_had_an_effect_leaves_the_call_unknown_whatever_came_after(audit: Audit) -> None:
    below = Below([Interrupted("x"), Busy("x")])
    run = chain([recording(audit), Retry(2, 0.05, 2.0, 0.1, Metrics(), lambda: 0.0)], below)
    with pytest.raises(Interrupted):
        await run(call(idempotent=True))
    assert [(kind, reason, data.get("outcome")) for kind, reason, data in told(audit)][1:] == [
        ("outcome", "upstream_interrupted", "unknown")
    ]


async def test_odd_and_long_names_are_written_on_one_line_and_told_apart(audit: Audit) -> None:
    address = "shop://" + "x" * 992
    names = ["a\x00b", "a\x00c", "a\nb", f"{address}1", f"{address}2", "\x00" * 300 + "1", "\x00" * 300 + "2"]
    await asyncio.gather(*(audit.refusal(call(tool=name), Denied("no")) for name in names))
    audit.store.stop()
    written = [row.tool for row in audit.store.read(select(events.c.tool).order_by(events.c.seq))]
    assert len(set(written)) == len(names), written
    assert all(name.isprintable() and len(name) <= 256 for name in written)
    assert written[0] == r"a\x00b" and written[3].startswith(address[:150])


async def test_a_result_that_is_nested_too_deep_to_be_written_still_has_its_outcome(audit: Audit) -> None:
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    assert await recording(audit)(call(), Below([{"structuredContent": deep}])) == {"structuredContent": deep}
    assert [(kind, data.get("outcome")) for kind, _, data in told(audit)] == [("intent", None), ("outcome", "ok")]


async def test_unfinished_calls_are_those_with_an_intent_and_no_outcome(audit: Audit) -> None:
    await audit.intent(call(id="lost"))
    await recording(audit)(call(id="whole"), Below())
    await audit.refusal(call(id="refused"), Denied("no"))
    assert [row.call for row in audit.store.run(unfinished)] == ["lost"]


async def test_calls_are_counted_and_timed_by_what_became_of_them() -> None:
    metrics, clock = Metrics(), Clock()
    told: list[tuple[str, float]] = []
    measure = Measure(metrics, lambda call, outcome, seconds: told.append((outcome, seconds)), clock)

    async def slow() -> Result:
        clock.now += 2
        assert sample(metrics, "toolgate_calls_in_flight") == 1
        return OK

    below = Below([slow, {"isError": True}, Denied("no"), ValueError("defect"), for_ever])
    await measure(call(), below)
    await asyncio.gather(*(measure(call(), below) for _ in range(3)), return_exceptions=True)
    leaving = asyncio.create_task(measure(call(), below))
    await begun(below, 5)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    for outcome in ("ok", "tool_error", "denied", "unexpected", "cancelled"):
        labels = {"agent": "ada", "server": "shop", "tool": "note", "outcome": outcome}
        assert sample(metrics, "toolgate_calls_total", **labels) == 1, outcome
    assert sample(metrics, "toolgate_refusals_total", agent="ada", reason="denied") == 1
    assert told[0] == ("ok", 2) and len(told) == 5
    assert sample(metrics, "toolgate_calls_in_flight") == 0


async def test_names_that_no_configuration_knows_are_not_counted_under_themselves() -> None:
    metrics = Metrics()
    await Measure(metrics)(call(server="", tool="made-up", definition=None), Below())
    assert sample(metrics, "toolgate_calls_total", agent="ada", server="-", tool="-", outcome="ok") == 1

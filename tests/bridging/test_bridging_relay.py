"""A defect of the gateway itself: what would come of one, tried with a chain that has one."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from bridging_clients import refusal, text

from gateway.audit import Audit
from gateway.call import Call, Principal, Result, Silent
from gateway.catalog import Catalog
from gateway.controls.audit import RecordRefusals
from gateway.mcp_face.lists import Lists
from gateway.mcp_face.relay import Relay, Request
from gateway.mcp_face.served import Served
from gateway.mcp_face.wire import REFUSED, RpcError
from gateway.metrics import Metrics
from gateway.order import chain
from gateway.policy import Policy
from gateway.policy.policy import Grant
from gateway.store import Store

NOBODY: dict[str, Grant] = {}


async def broken(call: Call) -> Result:
    raise KeyError("hunter2")


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    catalog = Catalog(["shop"])
    policy = Policy(NOBODY, "digest")
    store = Store(tmp_path / "toolgate.db")
    store.start()
    run = chain([RecordRefusals(Audit(store, b"secret"))], broken)
    yield Relay(catalog, Lists(catalog, lambda: policy, 10), run, lambda agent: None, Served(Metrics().served))
    store.stop()


def request(method: str, name: str) -> Request:
    return Request(
        principal=Principal("ada", "t"),
        server="shop",
        era="modern",
        method=method,
        params={"name": name},
        peer=Silent(),
    )


async def test_a_defect_is_told_by_call_id_only_and_logged_under_it(
    relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "toolgate"):
        result = await relay.answer(request("tools/call", "pay"))
    told = refusal(result)
    assert told["reason"] == "unexpected" and told["call"] in text(result)
    assert "hunter2" not in str(result) and "KeyError" not in str(result)
    assert told["call"] in caplog.text


async def test_a_defect_below_a_prompt_is_an_error_without_its_words(relay: Relay) -> None:
    with pytest.raises(RpcError) as failed:
        await relay.answer(request("prompts/get", "greet"))
    assert failed.value.code == REFUSED and failed.value.data["reason"] == "unexpected"
    assert "hunter2" not in str(failed.value.body())

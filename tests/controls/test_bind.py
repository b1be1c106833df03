"""The bind control: what it fills in, from where, and what is written down of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from control_parts import Below, call, recording, sample
from sqlalchemy import select

from gateway.audit import Audit
from gateway.call import Permit, Principal
from gateway.controls.audit import RecordRefusals
from gateway.controls.authorize import Authorize
from gateway.controls.bind import Bind
from gateway.errors import Denied, NoClaim, NotFound
from gateway.metrics import Metrics
from gateway.order import chain
from gateway.policy import Policy, load
from gateway.store import Store
from gateway.tables import events

MODEL = (Path(__file__).parents[2] / "policies" / "model.conf").read_text()
RULES = """
agent = "ada"
description = "Notes."

[[allow]]
tool = "shop/note"
where = { amount = { maximum = 5 } }
bind = { customer = "claims.customer", region = { const = ["eu"] } }

[[allow]]
tool = "shop/note"
where = { amount = { maximum = 9 } }
shadow = true

[[deny]]
tool = "shop/note"
where = { amount = { minimum = 4 } }
shadow = true

[[allow]]
tool = "shop/look"
shadow = true
"""


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    (tmp_path / "model.conf").write_text(MODEL)
    (tmp_path / "ada.toml").write_text(RULES)
    return load(tmp_path, ["shop"])


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[Audit]:
    store = Store(tmp_path / "toolgate.db")
    store.start()
    yield Audit(store, b"s" * 32)
    store.stop()


def told(audit: Audit, kind: str) -> list[dict[str, Any]]:
    audit.store.stop()
    rows = audit.store.read(select(events).where(events.c.kind == kind).order_by(events.c.seq))
    return [json.loads(row.data) for row in rows]


def permit(**bind: Any) -> Permit:
    return Permit("rule", "digest", bind)


async def test_constants_and_claims_are_added_to_what_the_caller_gave() -> None:
    below = Below()
    principal = Principal("ada", "t1", {"customer": "C7", "level": 3})
    bind = {"who": "claims.customer", "level": "claims.level", "region": {"const": "eu"}, "flags": {"const": [True]}}
    made = call(principal=principal, arguments={"text": "x"}, permit=permit(**bind))
    await Bind()(made, below)
    filled = {"text": "x", "who": "C7", "level": 3, "region": "eu", "flags": [True]}
    assert below.calls[0].arguments == filled
    assert made.arguments == {"text": "x"}


async def test_a_call_whose_rule_binds_nothing_passes_as_it_is() -> None:
    below, made = Below(), call()
    await Bind()(made, below)
    assert below.calls == [made]


async def test_a_claim_that_the_token_lacks_is_a_refusal_and_nothing_runs() -> None:
    below = Below()
    made = call(principal=Principal("ada", "t1", {"other": "secret-value"}), permit=permit(who="claims.customer"))
    with pytest.raises(NoClaim) as caught:
        await Bind()(made, below)
    assert below.calls == []
    assert (caught.value.reason, caught.value.detail) == ("no_claim", "claims.customer")
    assert "secret-value" not in str(caught.value)


async def test_a_claim_may_be_false_or_zero_and_still_is_one() -> None:
    below = Below()
    made = call(principal=Principal("ada", "t1", {"staff": False}), permit=permit(staff="claims.staff"))
    await Bind()(made, below)
    assert below.calls[0].arguments == {"staff": False}


async def test_the_event_of_a_bound_call_has_all_arguments_and_says_which_were_filled_in(
    policy: Policy, audit: Audit
) -> None:
    run = chain([Authorize(lambda: policy, Metrics(), lambda agent: False), Bind(), recording(audit)], below := Below())
    await run(call(principal=Principal("ada", "t1", {"customer": "C7"}), arguments={"amount": 1}, permit=None))
    (intent,) = told(audit, "intent")
    assert intent["arguments"] == below.calls[0].arguments == {"amount": 1, "customer": "C7", "region": ["eu"]}
    assert intent["bound"] == ["customer", "region"]
    assert "shadow" not in intent


async def test_a_call_without_bound_arguments_says_nothing_of_them(audit: Audit) -> None:
    await recording(audit)(call(), Below())
    (intent,) = told(audit, "intent")
    assert not {"bound", "shadow"} & intent.keys()


async def test_a_rule_in_shadow_that_would_refuse_is_recorded_and_counted_and_the_call_runs(
    policy: Policy, audit: Audit
) -> None:
    metrics, below = Metrics(), Below()
    run = chain([Authorize(lambda: policy, metrics, lambda agent: False), Bind(), recording(audit)], below)
    for amount in (1, 4, 5):
        await run(call(principal=Principal("ada", "t", {"customer": "C"}), arguments={"amount": amount}, permit=None))
    assert len(below.calls) == 3
    assert [data.get("shadow") for data in told(audit, "intent")] == [None, "ada.toml:deny[0]", "ada.toml:deny[0]"]
    assert sample(metrics, "toolgate_shadow_disagreements_total", agent="ada", would="deny") == 2
    assert sample(metrics, "toolgate_shadow_disagreements_total", agent="ada", would="allow") == 0


async def test_a_rule_in_shadow_that_would_allow_is_recorded_and_counted_and_the_call_is_refused(
    policy: Policy, audit: Audit
) -> None:
    metrics, below = Metrics(), Below()
    run = chain([RecordRefusals(audit), Authorize(lambda: policy, metrics, lambda agent: False)], below)
    with pytest.raises(Denied):
        await run(call(arguments={"amount": 3.5, "customer": "C"}, permit=None))
    with pytest.raises(NotFound):
        await run(call(tool="look", permit=None))
    assert below.calls == []
    assert [data.get("shadow") for data in told(audit, "refusal")] == ["ada.toml:allow[1]", "ada.toml:allow[2]"]
    assert sample(metrics, "toolgate_shadow_disagreements_total", agent="ada", would="allow") == 2

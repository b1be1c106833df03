"""The policies of this repository grant each specialist its job and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.policy import Policy, load, trials

FOLDER = Path(__file__).parents[2] / "policies"
TOOLS = {
    "catalog": ["lookup_product", "validate_address", "list_products"],
    "inventory": ["check_stock", "reserve_inventory", "release_reservation"],
    "pricing": ["get_base_price", "apply_promo_code", "calculate_tax", "calculate_shipping"],
    "payment": ["charge_card", "refund_card", "check_fraud_score"],
    "fulfillment": ["create_shipment", "generate_label", "send_email", "update_order_status", "track_package"],
    "customers": ["lookup_address", "update_address", "modify_account", "delete_customer_data"],
    "billing": ["apply_discount", "check_balance", "process_refund"],
    "records": ["search_orders", "run_query", "get_order"],
    "toolgate": ["await_approval", "escalate", "mark_run", "rollback"],
}
GATED = {("toolgate", "await_approval"), ("toolgate", "escalate")}
UNDOABLE = {("toolgate", "mark_run"), ("toolgate", "rollback")}
GRANTED = {
    "validation": {("catalog", name) for name in TOOLS["catalog"]},
    "inventory": {("inventory", name) for name in TOOLS["inventory"]} | UNDOABLE,
    "pricing": {("pricing", name) for name in TOOLS["pricing"]},
    "payment": {("payment", name) for name in TOOLS["payment"]} | GATED | UNDOABLE,
    "fulfillment": {("fulfillment", name) for name in TOOLS["fulfillment"]} | UNDOABLE,
    "support": {
        ("customers", "lookup_address"),
        ("customers", "update_address"),
        ("records", "search_orders"),
        ("records", "get_order"),
        ("billing", "check_balance"),
        ("billing", "process_refund"),
        ("fulfillment", "track_package"),
        *GATED,
    },
    "analyst": {("records", "search_orders"), ("records", "run_query")},
    "address": {("customers", "lookup_address"), ("customers", "update_address")},
    "discount": {("billing", "check_balance"), ("billing", "apply_discount"), ("pricing", "apply_promo_code"), *GATED},
    "parcel": {("records", "search_orders"), ("records", "get_order"), ("fulfillment", "track_package")},
}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return load(FOLDER, TOOLS)


def test_the_shipped_policies_load_without_a_warning(policy: Policy) -> None:
    assert policy.warnings == ()
    assert policy.agents == GRANTED.keys()


def test_the_shipped_tests_hold_and_hit_every_rule_and_agent(policy: Policy) -> None:
    assert trials.run(policy, FOLDER, TOOLS) == []
    results = trials.trials(policy, trials.read(policy, FOLDER, TOOLS))
    assert (results.unhit, results.untested) == ((), ())


@pytest.mark.parametrize("agent", sorted(GRANTED))
def test_each_specialist_sees_its_own_tools_only(policy: Policy, agent: str) -> None:
    seen = {(s, n) for s, names in TOOLS.items() for n in names if policy.visible(agent, s, n, "call")}
    assert seen == GRANTED[agent]


@pytest.mark.parametrize("agent", sorted(GRANTED))
def test_no_specialist_may_delete_anything(policy: Policy, agent: str) -> None:
    decisions = [policy.decide(agent, server, "delete_everything", "call", {}) for server in TOOLS]
    assert {decision.rule for decision in decisions} == {"roles/no-deletion.toml:deny[0]"}


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (1_000_000, "USD", True),
        (1_000_001, "USD", False),
        (100, "EUR", True),
        (100, "GBP", False),
        ("100", "USD", False),
    ],
)
def test_a_card_is_charged_up_to_a_limit_and_in_known_currencies(
    policy: Policy, amount: object, currency: str, expected: bool
) -> None:
    arguments = {"amount": amount, "currency": currency}
    assert policy.decide("payment", "payment", "charge_card", "call", arguments).allowed is expected

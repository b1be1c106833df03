"""Verbs that connect: what servers offer, what an agent may call, and names that are not there."""

from __future__ import annotations

import json

from desk import CONFIG, PAYMENT, Desk

OWN = ("await_approval", "escalate", "mark_run", "rollback")
"""The gateway's own tools, listed after those of the servers."""
DOWN = '[servers.down]\nurl = "http://127.0.0.1:1/mcp"\n'


def test_tools_lists_what_is_offered_and_what_is_declared_about_it(desk: Desk) -> None:
    ran = desk.run("tools", "--json")
    assert (ran.returncode, ran.stderr) == (0, "")
    shapes = json.loads(ran.stdout)
    assert [(shape["server"], shape["tool"]) for shape in shapes[3:]] == [("toolgate", name) for name in OWN]
    assert shapes[:3] == [
        {"server": "shop", "tool": "charge_card", "read_only": False, "idempotent": False, "timeout": 20.0},
        {"server": "shop", "tool": "check_fraud_score", "read_only": False, "idempotent": True, "timeout": 5.0},
        {"server": "shop", "tool": "refund_card", "read_only": False, "idempotent": False, "timeout": 20.0},
    ]


def test_tools_tells_what_an_agent_may_call_and_by_which_rule(desk: Desk) -> None:
    shapes = json.loads(desk.run("tools", "--agent", "payment", "--json").stdout)
    assert [(shape["tool"], shape["may_call"], shape["rules"]) for shape in shapes] == [
        ("charge_card", "depends", ["payment.toml:allow[0]"]),
        ("check_fraud_score", "yes", ["payment.toml:allow[1]"]),
        ("refund_card", "no", []),
        *((name, "no", []) for name in OWN),
    ]


def test_tools_as_a_table_is_aligned(desk: Desk) -> None:
    lines = desk.run("tools", "--agent", "payment").stdout.splitlines()
    assert lines[0].split("  ")[0] == "SERVER"
    column = lines[0].index("MAY CALL")
    assert [line[column:].split()[0] for line in lines[1:]] == ["depends", "yes", "no", *["no" for _ in OWN]]


def test_an_unknown_agent_is_told_before_anything_is_connected(desk: Desk) -> None:
    ran = desk.run("tools", "--agent", "paymnt")
    assert ran.returncode == 1
    assert "did you mean payment?" in ran.stderr


def test_a_server_out_of_reach_is_told_and_the_others_are_listed(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + DOWN)
    ran = desk.run("tools", "--json")
    assert ran.returncode == 1
    assert {shape["server"] for shape in json.loads(ran.stdout)} == {"shop", "toolgate"}
    assert ["down" in line for line in ran.stderr.splitlines()] == [True]


def test_check_connects_and_finds_all_in_order(desk: Desk) -> None:
    ran = desk.run("check", "--connect")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "SERVER" in ran.stdout


def test_check_connect_tells_servers_and_tools_that_are_not_there(desk: Desk) -> None:
    config = CONFIG.replace("tools.check_fraud_score", "tools.check_fraud_scor").replace("refund_card", "refund")
    desk.write("gateway.toml", config + DOWN)
    desk.write("policies/payment.toml", PAYMENT.replace("charge_card", "charge_cards"))
    ran = desk.run("check", "--connect")
    assert ran.returncode == 1
    told = [line.split("/")[-1].split(": ")[:2] for line in ran.stderr.splitlines()]
    assert told == [
        ["gateway.toml", "servers.down"],
        ["gateway.toml", "servers.shop.tools.check_fraud_scor"],
        ["gateway.toml", "servers.shop.tools.charge_card.compensate.tool"],
        ["payment.toml:4", "allow[0].tool"],
    ]
    assert "did you mean check_fraud_score?" in ran.stderr
    assert 'did you mean "charge_card"?' in ran.stderr


def test_check_connect_warns_of_rules_for_a_server_that_is_down_and_of_globs_that_match_nothing(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + DOWN)
    rules = '[[allow]]\ntool = "down/one"\n[[allow]]\ntool = "down/two"\n[[allow]]\ntool = "shop/nothing_*"\n'
    desk.write("policies/payment.toml", PAYMENT + rules)
    warnings = [line for line in desk.run("check", "--connect").stderr.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert 'allow[2].tool: the names on "down" cannot be checked while it is down' in warnings[0]
    assert 'allow[4].tool: "shop/nothing_*" matches no tool of the servers that are up' in warnings[1]


def test_check_connect_tells_arguments_that_a_tool_does_not_have(desk: Desk) -> None:
    desk.write("policies/payment.toml", PAYMENT.replace("amount =", "amuont ="))
    ran = desk.run("check", "--connect")
    assert ran.returncode == 1
    assert 'allow[0].where.amuont: names the argument "amuont", which the tool does not have' in ran.stderr
    assert 'did you mean "amount"?' in ran.stderr


def test_what_only_a_rule_in_shadow_says_changes_nothing_in_the_list_of_tools(desk: Desk) -> None:
    desk.write("policies/payment.toml", PAYMENT + '[[allow]]\ntool = "shop/refund_card"\nshadow = true\n')
    shapes = {shape["tool"]: shape for shape in json.loads(desk.run("tools", "--agent", "payment", "--json").stdout)}
    assert (shapes["refund_card"]["may_call"], shapes["refund_card"]["rules"]) == ("no", [])


def test_a_tool_with_bound_arguments_depends_on_them(desk: Desk) -> None:
    rule = '[[allow]]\ntool = "shop/refund_card"\nbind = { charge_id = "claims.charge" }\n'
    desk.write("policies/payment.toml", PAYMENT + rule)
    shapes = {shape["tool"]: shape for shape in json.loads(desk.run("tools", "--agent", "payment", "--json").stdout)}
    assert shapes["refund_card"]["may_call"] == "depends"

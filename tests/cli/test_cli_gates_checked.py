"""`toolgate check` looks at who can decide, and at what `gateway.toml` says of tools."""

from __future__ import annotations

from desk import CONFIG, PAYMENT, Desk

GATED = PAYMENT.replace("maximum = 500 } }\n", 'maximum = 500 } }\ngate = { type = "approval" }\n')
AWAITED = GATED + '\n[[allow]]\ntool = "toolgate/await_approval"\n'


def test_a_gate_without_reviewer_is_warned_of_until_there_is_one(desk: Desk) -> None:
    desk.write("policies/payment.toml", AWAITED)
    ran = desk.run("check")
    assert ran.returncode == 0
    assert "nobody can decide, for there is no reviewer" in ran.stderr
    assert not (desk.folder / "var").exists()
    made = desk.run("reviewer", "create", "ann")
    assert made.returncode == 0
    assert desk.run("check").stderr == ""
    desk.run("reviewer", "revoke", made.stdout.split()[1])
    assert "there is no reviewer" in desk.run("check").stderr


def test_a_sum_that_is_no_money_and_an_undoing_tool_that_is_gated_are_warned_of(desk: Desk) -> None:
    desk.run("reviewer", "create", "ann")
    budget = 'budget = [{ sum = "amount", max = 9, per = "day" }]\n'
    undo = '\n[[allow]]\ntool = "shop/refund_card"\ngate = { type = "approval" }\n'
    desk.write("policies/payment.toml", AWAITED.replace("gate =", budget + "gate =", 1) + undo)
    sums, undoes = sorted(desk.run("check").stderr.splitlines())
    assert "allow[0].budget[0].sum: sums amount of shop/charge_card" in sums
    assert "gateway.toml: servers.shop.tools.charge_card.compensate.tool: shop/refund_card is gated" in undoes
    desk.write("gateway.toml", CONFIG + 'tools.charge_card.arguments.amount.kind = "money"\n')
    assert "sums" not in desk.run("check").stderr

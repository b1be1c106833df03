"""`toolgate policy`: what a policy does, told before it does it. Exit status as documented."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import casbin
import pytest
from desk import CONFIG, PAYMENT, Desk

TESTS = """\
[[test]]
agent = "payment"
tool = "shop/charge_card"
arguments = { amount = 500 }
expect = "allow"
why = "the most it may take"

[[test]]
agent = "payment"
tool = "shop/charge_card"
arguments = { amount = 501 }
expect = "deny"
rule = "denied"
"""


@pytest.fixture
def tested(desk: Desk) -> Desk:
    desk.write("policies/tests.toml", TESTS)
    return desk


def candidate(desk: Desk, payment: str) -> None:
    shutil.copytree(desk.folder / "policies", desk.folder / "next")
    desk.write("next/payment.toml", payment)


@pytest.mark.parametrize(
    "arguments",
    [
        ["policy"],
        ["policy", "nope"],
        ["policy", "explain", "payment"],
        ["policy", "explain", "payment", "shop/x", "--action", "eat"],
        ["policy", "explain", "payment", "shop"],
        ["policy", "explain", "payment", "shpo/charge_card"],
        ["policy", "explain", "payment", "shop/charge_card", "{"],
        ["policy", "explain", "payment", "shop/charge_card", "amount"],
        ["policy", "explain", "payment", "shop/charge_card", "amount:=five"],
        ["policy", "explain", "payment", "shop/x", "a=b", "--action", "get"],
        ["policy", "diff", "policies"],
        ["policy", "export"],
    ],
)
def test_wrong_usage_exits_with_2(desk: Desk, arguments: list[str]) -> None:
    ran = desk.run(*arguments)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr
    assert "Traceback" not in ran.stderr


def test_test_passes_and_tells_what_no_test_touches(tested: Desk) -> None:
    ran = tested.run("policy", "test")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "2 of 2 passed" in ran.stdout
    assert "payment.toml:allow[1]" in ran.stdout
    assert "1 of 2 hit by a test" in ran.stdout
    assert tested.run("policy", "test", "--strict").returncode == 1


def test_test_fails_with_place_reason_and_the_rule_that_decided(tested: Desk) -> None:
    tested.write("policies/payment.toml", PAYMENT.replace("500", "501"))
    ran = tested.run("policy", "test")
    assert ran.returncode == 1
    assert "policies/tests.toml:8" in ran.stdout
    assert "expected  deny (denied)" in ran.stdout
    assert "decided   allow by payment.toml:allow[0] at policies/payment.toml:4" in ran.stdout
    shape = json.loads(tested.run("policy", "test", "--json").stdout)
    assert [test["ok"] for test in shape["tests"]] == [True, False]
    assert shape["tests"][1]["decided"]["place"] == "policies/payment.toml:4"


def test_test_without_a_table_says_how_to_write_one(desk: Desk) -> None:
    ran = desk.run("policy", "test")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "policies/tests.toml" in ran.stderr
    assert "Fix: " in ran.stderr


def test_check_refuses_a_policy_that_fails_its_own_tests(tested: Desk) -> None:
    assert tested.run("check").returncode == 0
    tested.write("policies/payment.toml", PAYMENT.replace("500", "501"))
    ran = tested.run("check")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "tests.toml:8: test[1]: expects deny (denied)" in ran.stderr


def test_check_warns_of_what_the_rules_make_useless(desk: Desk) -> None:
    desk.write("policies/payment.toml", PAYMENT + '\n[[allow]]\ntool = "shop/check_fraud_score"\n')
    ran = desk.run("check")
    assert ran.returncode == 0
    assert "warning: " in ran.stderr
    assert "allow[2]: never decides anything" in ran.stderr


def test_explain_tells_rule_place_and_what_failed(desk: Desk) -> None:
    ran = desk.run("policy", "explain", "payment", "shop__charge_card", '{"amount": 501}')
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "deny" in ran.stdout
    assert 'amount = 501 does not fit {"maximum": 500}' in ran.stdout
    shape = json.loads(desk.run("policy", "explain", "payment", "shop/charge_card", "amount:=500", "--json").stdout)
    assert (shape["decision"], shape["place"], shape["role"]) == ("allow", "policies/payment.toml:4", None)


def test_explain_takes_numbers_only_where_they_are_written_as_such(desk: Desk) -> None:
    ran = desk.run("policy", "explain", "payment", "shop/charge_card", "amount=500")
    assert 'amount = "500" does not fit' in ran.stdout
    assert "write amount:=500" in ran.stdout


def test_explain_names_the_role_and_objects_like_the_one_asked_for(desk: Desk) -> None:
    desk.write("policies/payment.toml", PAYMENT.replace("\n\n", '\nroles = ["reader"]\n\n', 1))
    desk.write(
        "policies/roles/reader.toml", 'role = "reader"\ndescription = "Reads."\n[[allow]]\nresource = "shop/doc:*"\n'
    )
    ran = desk.run("policy", "explain", "payment", "shop/doc:1", "--action", "read")
    assert "through role reader" in ran.stdout
    assert "Like it: shop/charge_card" in desk.run("policy", "explain", "payment", "shop/charg_card").stdout


def test_explain_names_the_rule_in_shadow_that_would_decide_otherwise(desk: Desk) -> None:
    desk.write("policies/payment.toml", PAYMENT + '\n[[deny]]\ntool = "shop/*"\nshadow = true\n')
    ran = desk.run("policy", "explain", "payment", "shop/check_fraud_score")
    assert "decision  allow" in ran.stdout
    assert "shadow    payment.toml:deny[0] would turn this round" in ran.stdout


def test_explain_knows_agents_that_have_a_policy_only(desk: Desk) -> None:
    ran = desk.run("policy", "explain", "paymnt", "shop/charge_card")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert 'did you mean "payment"?' in ran.stderr


def test_matrix_shows_what_rules_and_tests_name(tested: Desk) -> None:
    lines = tested.run("policy", "matrix").stdout.splitlines()
    assert [line.split() for line in lines[:4]] == [["payment"], ["shop"], ["charge_card", "args"], ["check_*", "yes"]]


def test_matrix_connected_shows_what_servers_offer(desk: Desk) -> None:
    rows = json.loads(desk.run("policy", "matrix", "--connect", "--json").stdout)["tools"]
    told = {row["tool"]: row["agents"]["payment"]["access"] for row in rows if row["server"] == "shop"}
    assert told == {"charge_card": "depends", "check_fraud_score": "yes", "refund_card": "no"}


def test_matrix_connected_says_which_server_is_missing(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + '[servers.down]\nurl = "http://127.0.0.1:1/mcp"\n')
    ran = desk.run("policy", "matrix", "--connect")
    assert ran.returncode == 1
    assert "down" in ran.stderr
    assert "charge_card" in ran.stdout


@pytest.mark.parametrize(("agents", "tables"), [(12, 1), (60, 5)])
def test_matrix_of_many_agents_stays_within_100_columns(desk: Desk, agents: int, tables: int) -> None:
    for number in range(agents):
        name = f"worker-{number:02}-of-many"
        desk.write(f"policies/{name}.toml", PAYMENT.replace('agent = "payment"', f'agent = "{name}"'))
    lines = desk.run("policy", "matrix").stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines.count("shop") == tables
    assert sum(line.count("worker-") for line in lines) == agents


class Page(HTMLParser):
    """The tags of a page, and whether each that must be closed is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_escaped_and_loads_and_runs_nothing(desk: Desk) -> None:
    desk.write(
        "policies/payment.toml", PAYMENT + '[[allow]]\ntool = "shop/<script>&"\nwhere = { x = { const = "<b>" } }\n'
    )
    ran = desk.run("policy", "matrix", "--html", "page.html")
    assert (ran.returncode, ran.stdout) == (0, "page.html\n")
    text = (desk.folder / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert "&lt;script&gt;&amp;" in text
    assert "&lt;b&gt;" in text
    assert not {"script", "b", "img", "link", "iframe"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if {"src", "href", "onclick"} & attributes.keys()]
    assert all(attributes.get("scope") for tag, attributes in page.tags if tag == "th")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") == 2


def test_diff_of_equal_folders_exits_with_0(desk: Desk) -> None:
    candidate(desk, PAYMENT)
    ran = desk.run("policy", "diff", "policies", "next")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "Nothing is decided otherwise.\n", "")


def test_diff_tells_what_changes_and_arguments_that_show_it(desk: Desk) -> None:
    candidate(desk, PAYMENT.replace("500", "900"))
    ran = desk.run("policy", "diff", "policies", "next")
    assert ran.returncode == 1
    assert "deny (denied) -> allow" in ran.stdout
    assert 'such as {"amount": 501}' in ran.stdout
    assert "payment.toml:4" in ran.stdout
    (change,) = json.loads(desk.run("policy", "diff", "policies", "next", "--json").stdout)["changes"]
    assert (change["from"]["decision"], change["to"]["decision"]) == ("deny", "allow")
    assert change["to"]["place"] == "next/payment.toml:4"


def test_diff_tells_agents_that_come_and_go(desk: Desk) -> None:
    candidate(desk, PAYMENT)
    (desk.folder / "next" / "payment.toml").rename(desk.folder / "next" / "refunds.toml")
    desk.write("next/refunds.toml", PAYMENT.replace('agent = "payment"', 'agent = "refunds"'))
    ran = desk.run("policy", "diff", "policies", "next")
    assert ran.returncode == 1
    assert "new agents: refunds" in ran.stdout
    assert "agents gone: payment" in ran.stdout


def test_diff_of_a_folder_that_does_not_load_exits_with_2_and_its_problems(desk: Desk) -> None:
    candidate(desk, PAYMENT.replace("allow", "alow", 1))
    for ran in (desk.run("policy", "diff", "policies", "next"), desk.run("policy", "diff", "none", "policies")):
        assert (ran.returncode, ran.stdout) == (2, "")
        assert "Fix: " in ran.stderr


def test_diff_connected_tells_tools_by_name(desk: Desk) -> None:
    candidate(desk, PAYMENT + '\n[[deny]]\ntool = "shop/check_*"\n')
    ran = desk.run("policy", "diff", "policies", "next", "--connect", "--json")
    assert [change["object"] for change in json.loads(ran.stdout)["changes"]] == [
        "shop/check_*",
        "shop/check_fraud_score",
    ]


def test_export_writes_what_casbin_loads(desk: Desk) -> None:
    ran = desk.run("policy", "export", "out/casbin")
    assert (ran.returncode, ran.stderr) == (0, "")
    folder = desk.folder / "out" / "casbin"
    enforcer = casbin.Enforcer(str(folder / "model.conf"), str(folder / "policy.csv"))
    assert enforcer.enforce("payment", "shop", "check_fraud_score", "call", [])
    assert not enforcer.enforce("payment", "shop", "charge_card", "call", [])
    assert enforcer.enforce("payment", "shop", "charge_card", "call", ["payment.toml:allow[0]"])


def test_export_tells_of_rules_in_shadow_and_leaves_them_out(desk: Desk) -> None:
    desk.write("policies/payment.toml", PAYMENT + '\n[[deny]]\ntool = "shop/*"\nshadow = true\n')
    ran = desk.run("policy", "export", "out")
    assert ran.returncode == 0
    assert "payment.toml:deny[0] is in shadow" in ran.stderr


@pytest.mark.parametrize("folder", ["policies", "policies/out", "out/../policies"])
def test_export_never_replaces_the_model_in_use(desk: Desk, folder: str) -> None:
    model = Path(desk.folder, "policies", "model.conf").read_text()
    assert desk.run("policy", "export", folder).returncode == 1
    assert Path(desk.folder, "policies", "model.conf").read_text() == model


def test_policy_verbs_need_no_secret_of_a_server(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + 'credentials.payment = { KEY = "${NOT_SET_HERE}" }\n')
    assert desk.run("policy", "matrix").returncode == 0
    assert desk.run("policy", "matrix", "--connect").returncode == 1

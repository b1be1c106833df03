"""Tokens by command line: shown once, listed without the secret, revoked for good."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta

import pytest
from desk import CONFIG, Desk

from gateway.identity import Tokens
from gateway.store import Store

TOKEN = re.compile(r"tg_[0-9A-Za-z]{10}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")


def test_a_new_token_comes_with_the_configuration_of_clients(desk: Desk) -> None:
    ran = desk.run("token", "create", "payment")
    assert (ran.returncode, ran.stderr) == (0, "")
    (token,) = set(TOKEN.findall(ran.stdout))
    url = "http://127.0.0.1:8080/mcp"
    assert (
        f'claude mcp add --transport http toolgate {url} --header "Authorization: Bearer {token}"'
        in ran.stdout.splitlines()
    )
    block = json.loads(ran.stdout[ran.stdout.index("{\n") : ran.stdout.index("\n}\n") + 2])
    assert block == {
        "mcpServers": {"toolgate": {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {token}"}}}
    }
    program = ran.stdout.partition("Python:\n")[2]
    compile(program, "program", "exec")
    assert token in program
    assert url in program


def test_a_new_token_as_json_says_all_there_is_to_know(desk: Desk) -> None:
    made = json.loads(desk.run("token", "create", "payment", "--expires", "30d", "--json").stdout)
    assert made.keys() == {"token", "url", "id", "agent", "state", "created", "expires", "revoked", "claims"}
    assert TOKEN.fullmatch(made["token"])
    assert (made["agent"], made["state"], made["revoked"]) == ("payment", "active", None)
    span = datetime.fromisoformat(made["expires"]) - datetime.fromisoformat(made["created"])
    assert abs(span - timedelta(days=30)) <= timedelta(seconds=1)


def test_the_address_for_clients_is_one_they_can_reach(desk: Desk) -> None:
    addresses = {
        '[gateway]\nport = 9000\nhost = "::1"': "http://[::1]:9000/mcp",
        '[gateway]\nhost = "0.0.0.0"\nallowed_hosts = ["tools.example.com:*"]': "http://tools.example.com:8080/mcp",
        '[gateway]\nhost = "::"\nallowed_hosts = ["tools.example.com"]': "http://tools.example.com/mcp",
        '[gateway]\nhost = "::"\nallowed_hosts = ["[2001:db8::1]:443"]': "http://[2001:db8::1]:443/mcp",
    }
    for settings, url in addresses.items():
        desk.write("gateway.toml", f"{CONFIG}{settings}\n")
        assert json.loads(desk.run("token", "create", "payment", "--json").stdout)["url"] == url
    given = desk.run("token", "create", "payment", "--json", "--url", "https://x.example/mcp")
    assert json.loads(given.stdout)["url"] == "https://x.example/mcp"


def test_an_agent_without_policy_gets_no_token(desk: Desk) -> None:
    ran = desk.run("token", "create", "paymnt")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "paymnt.toml" in ran.stderr
    assert "did you mean payment?" in ran.stderr
    assert json.loads(desk.run("token", "list", "--json").stdout) == []


def test_listed_tokens_have_a_state_and_no_secret(desk: Desk) -> None:
    token = json.loads(desk.run("token", "create", "payment", "--json").stdout)["token"]
    listed = desk.run("token", "list")
    assert listed.stdout.splitlines()[0].split() == ["ID", "AGENT", "STATE", "CREATED", "EXPIRES", "CLAIMS"]
    assert listed.stdout.splitlines()[1].split()[:3] == [token[3:13], "payment", "active"]
    shapes = json.loads(desk.run("token", "list", "--json").stdout)
    assert [shape.keys() for shape in shapes] == [{"id", "agent", "state", "created", "expires", "revoked", "claims"}]
    assert token[14:57] not in listed.stdout + json.dumps(shapes)


def test_a_revoked_token_is_gone_for_a_running_gateway_and_cannot_be_revoked_twice(desk: Desk) -> None:
    token = json.loads(desk.run("token", "create", "payment", "--json").stdout)["token"]
    tokens = Tokens(Store(desk.folder / "var" / "toolgate.db"))
    tokens.agents = {"payment"}
    assert tokens.verify(token, 0.0).agent == "payment"
    assert desk.run("token", "revoke", token[3:13]).returncode == 0
    assert tokens.refresh_if_changed()
    assert token[3:13] not in tokens._known
    tokens.close()
    again = desk.run("token", "revoke", token[3:13])
    assert again.returncode == 1
    assert "no token in force has this id" in again.stderr
    assert json.loads(desk.run("token", "list", "--json").stdout)[0]["state"] == "revoked"


def test_a_token_can_be_revoked_where_the_secrets_of_servers_are_not_set(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + 'credentials.payment = { KEY = "${NOT_SET_HERE}" }\n')
    assert desk.run("check").returncode == 1
    token = json.loads(desk.run("token", "create", "payment", "--json").stdout)
    assert desk.run("token", "revoke", token["id"]).returncode == 0


def test_claims_are_text_numbers_and_booleans_kept_with_the_token_and_listed(desk: Desk) -> None:
    claims = ["customer_id=C-7=x", "level:=3", "staff:=true", "share:=0.5"]
    given = [word for claim in claims for word in ("--claim", claim)]
    made = json.loads(desk.run("token", "create", "payment", *given, "--json").stdout)
    assert made["claims"] == {"customer_id": "C-7=x", "level": 3, "staff": True, "share": 0.5}
    assert made["claims"]["staff"] is True
    assert json.loads(desk.run("token", "list", "--json").stdout)[0]["claims"] == made["claims"]
    listed = desk.run("token", "list").stdout
    assert listed.splitlines()[1].endswith(" ".join(claims))
    tokens = Tokens(Store(desk.folder / "var" / "toolgate.db"))
    tokens.agents = {"payment"}
    assert tokens.verify(made["token"], 0.0).claims == made["claims"]
    tokens.close()


@pytest.mark.parametrize(
    "claim",
    ["", "x", "=x", "x=", "1x=y", "x y=z", "x:=y", 'x:="y"', "x:=null", "x:=[1]", "x:=NaN", "x:=1e999", "x=a\u202eb"],
)
def test_a_claim_that_is_none_is_wrong_usage(desk: Desk, claim: str) -> None:
    ran = desk.run("token", "create", "payment", "--claim", claim)
    assert (ran.returncode, ran.stdout) == (2, "")


def test_a_claim_given_twice_is_wrong_usage(desk: Desk) -> None:
    ran = desk.run("token", "create", "payment", "--claim", "x=1", "--claim", "x=2")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "given twice" in ran.stderr

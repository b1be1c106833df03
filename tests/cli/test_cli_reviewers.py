"""Reviewers by command line: a token shown once, no agent's name, revoked for good."""

from __future__ import annotations

import json
import re

import pytest
from desk import CONFIG, Desk

TOKEN = re.compile(r"tr_[0-9A-Za-z]{10}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}")


def test_a_new_reviewer_is_told_the_token_once_and_how_to_use_it(desk: Desk) -> None:
    ran = desk.run("reviewer", "create", "ann", "--expires", "30d")
    assert (ran.returncode, ran.stderr) == (0, "")
    (token,) = set(TOKEN.findall(ran.stdout))
    assert f"export TOOLGATE_REVIEWER_TOKEN={token}" in ran.stdout
    assert "toolgate approvals list" in ran.stdout
    listed = desk.run("reviewer", "list")
    assert listed.stdout.splitlines()[1].split()[:3] == [token[3:13], "ann", "active"]
    assert token[14:57] not in listed.stdout


def test_a_new_reviewer_is_told_the_console_where_there_is_one(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + '[approvals]\nconsole = "https://tools.example.com/console"\n')
    assert "https://tools.example.com/console" in desk.run("reviewer", "create", "ann").stdout


@pytest.mark.parametrize(
    ("name", "said"), [("payment", "agent of this name"), ("Ann", "lower-case"), ("", "lower-case")]
)
def test_an_agents_name_and_what_is_no_name_are_refused(desk: Desk, name: str, said: str) -> None:
    ran = desk.run("reviewer", "create", name)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert said in ran.stderr
    assert "Fix: choose another name" in ran.stderr
    assert json.loads(desk.run("reviewer", "list", "--json").stdout) == []


def test_a_revoked_reviewer_is_listed_so_and_cannot_be_revoked_twice(desk: Desk) -> None:
    made = json.loads(desk.run("reviewer", "create", "ann", "--json").stdout)
    assert made.keys() == {"token", "id", "name", "state", "created", "expires", "revoked"}
    assert desk.run("reviewer", "revoke", made["id"]).returncode == 0
    assert json.loads(desk.run("reviewer", "list", "--json").stdout)[0]["state"] == "revoked"
    again = desk.run("reviewer", "revoke", made["id"])
    assert (again.returncode, "no token in force has this id" in again.stderr) == (1, True)


def test_where_there_is_no_reviewer_the_list_says_how_to_make_one(desk: Desk) -> None:
    assert "toolgate reviewer create NAME" in desk.run("reviewer", "list").stdout

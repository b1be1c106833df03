"""A candidate policy over calls that a running gateway recorded: what would have been decided otherwise, and why."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import orjson
import pytest
from gateway_process import GatewayProcess
from raw_client import Modern, pool
from recorder import Nursery, shops

from gateway.cli import main
from gateway.config import load_without_servers
from gateway.events import EventRow, event_row, insert_events
from gateway.state import open_store

HEAD = 'agent = "support"\ndescription = "Answers customers."\n'
CURRENT = f"""{HEAD}
[[allow]]
tool = "shop/pay"
where = {{ text = {{ maxLength = 20 }} }}
[[allow]]
tool = "shop/note"
gate = {{ type = "approval", when = {{ text = {{ const = "big" }} }} }}
[[allow]]
tool = "shop/look"
bind = {{ text = "claims.customer" }}
[[allow]]
tool = "shop/ask"
gate = {{ type = "confidence", threshold = 0.5 }}
"""
CANDIDATE = f"""{HEAD}
[[allow]]
tool = "shop/pay"
where = {{ text = {{ maxLength = 3 }} }}
[[allow]]
tool = "shop/note"
[[allow]]
tool = "shop/hidden"
[[allow]]
tool = "shop/look"
bind = {{ text = "claims.customer" }}
gate = {{ type = "approval", when = {{ text = {{ const = "C-1" }} }} }}
[[allow]]
tool = "shop/ask"
gate = {{ type = "confidence", threshold = 0.9 }}
"""
SECRET = '[servers.shop.tools.pay.arguments.card_token]\nkind = "secret"\n'
CARD = "tok_4242424242"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Iterator[GatewayProcess]:
    """A gateway that has seen calls of all kinds, and is stopped."""
    folder = tmp_path_factory.mktemp("replayed")
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\n{SECRET}[approvals]\nhold = 0.1\n'
        gateway = GatewayProcess(folder, servers, {"support.toml": CURRENT})
        with gateway:
            asyncio.run(_calls(gateway))
    (folder / "next").mkdir()
    shutil.copy(folder / "policies/model.conf", folder / "next")
    (folder / "next/support.toml").write_text(CANDIDATE)
    yield gateway


async def _calls(gateway: GatewayProcess) -> None:
    with gateway.tokens() as tokens:
        claimed = tokens.create("support", expires=None, now=time.time(), claims={"customer": "C-1"})[0]
    async with pool() as session:
        plain = Modern(session, gateway.url(), gateway.headers("support"))
        holder = Modern(session, gateway.url(), {"Authorization": f"Bearer {claimed}"})
        assert (await plain.call("shop__pay", {"text": "abc"})).ok
        assert (await plain.call("shop__pay", {"text": "abcdef", "card_token": CARD})).ok
        assert (await plain.call("shop__pay", {"text": "x" * 21})).reason == "denied"
        assert (await plain.call("shop__note", {"text": "small"})).ok
        assert "NOT EXECUTED" in (await plain.call("shop__note", {"text": "big"})).text
        assert (await plain.call("shop__note", {"text": 5})).reason == "invalid_arguments"
        assert (await plain.call("shop__hidden", {})).reason == "not_found"
        assert (await plain.call("shop__look", {})).reason == "no_claim"
        assert (await holder.call("shop__look", {})).ok
        # This client answers no question: the call ends so, after the gate.
        await plain.call("shop__ask", {"_confidence": 0.7, "_reason": "It says so."})
        assert (await plain.call("shop__absent", {})).reason == "not_found"


def replayed(gateway: GatewayProcess, *arguments: str, status: int = 0, folder: str = "next") -> Any:
    out = _printed(gateway, "--json", *arguments, status=status, folder=folder)
    return json.loads(out)


def _printed(gateway: GatewayProcess, *arguments: str, status: int = 0, folder: str = "next") -> str:
    where = gateway.config.parent
    with contextlib.redirect_stdout(io.StringIO()) as out:
        command = ["policy", "replay", str(where / folder), "--config", str(gateway.config), *arguments]
        assert main(command) == status
    return out.getvalue()


def changes(found: Any) -> set[tuple[str, str, int]]:
    return {(each["change"], next(iter(each["tools"])), each["calls"]) for each in found["changes"]}


def test_each_change_is_told_with_its_rules_counts_and_examples(recorded: GatewayProcess) -> None:
    found = replayed(recorded)
    assert changes(found) == {
        ("refused", "shop/pay", 1),
        ("allowed", "shop/hidden", 1),
        ("gated", "shop/look", 1),
        ("gated", "shop/ask", 1),
        ("ungated", "shop/note", 1),
    }
    assert found["counts"] == {"refused": 1, "allowed": 1, "gated": 2, "ungated": 1}
    assert found["refused_otherwise"] == {"invalid_arguments": 1, "no such tool": 1}
    assert (found["replayed"], found["not_replayed"], found["drifted"]) == (9, {}, 0)
    (refused,) = (each for each in found["changes"] if each["change"] == "refused")
    assert refused["from"] == {"decision": "allow", "rule": "support.toml:allow[0]"}
    assert refused["to"] == {"decision": "deny", "rule": "denied"}
    (example,) = refused["examples"]
    assert example["arguments"]["text"] == "abcdef" and CARD not in json.dumps(found)


def test_people_read_the_same(recorded: GatewayProcess) -> None:
    shown = _printed(recorded)
    for words in ("newly refused: 1 call", "allow by support.toml:allow[0] -> deny (denied)", '{"text": "big"}'):
        assert words in shown
    assert "9 calls replayed: 1 newly refused, 1 newly allowed, 2 newly gated, 1 no longer gated." in shown


def test_the_policy_in_force_changes_nothing(recorded: GatewayProcess) -> None:
    assert replayed(recorded, folder="policies")["changes"] == []
    assert "Nothing would have been decided otherwise: 9 calls replayed." in _printed(recorded, folder="policies")


def test_the_status_says_whether_there_is_a_change_of_a_kind(recorded: GatewayProcess) -> None:
    replayed(recorded, "--fail-on", "allowed", status=1)
    replayed(recorded, "--fail-on", "allowed", "--agent", "nobody")
    replayed(recorded, "--fail-on", "allowed", folder="policies")


def test_a_secret_that_a_rule_looks_at_is_not_guessed(recorded: GatewayProcess) -> None:
    folder = recorded.config.parent / "secretive"
    shutil.copytree(recorded.config.parent / "next", folder)
    looking = CURRENT.replace("maxLength = 20 }", f'maxLength = 20 }}, card_token = {{ const = "{CARD}" }}')
    (folder / "support.toml").write_text(looking)
    found = replayed(recorded, folder="secretive")
    assert (found["not_replayed"], found["replayed"]) == ({"secret": 1}, 8)
    # The one without a card is decided: it lacks what the rule asks for.
    assert changes(found) == {("refused", "shop/pay", 1)}


def test_how_sure_somebody_was_who_was_not_asked_is_not_guessed(recorded: GatewayProcess) -> None:
    folder = recorded.config.parent / "asking"
    shutil.copytree(recorded.config.parent / "next", folder)
    gate = '[[allow]]\ntool = "shop/note"\ngate = { type = "confidence", threshold = 0.9 }\n'
    (folder / "support.toml").write_text(CANDIDATE.replace('[[allow]]\ntool = "shop/note"\n', gate))
    found = replayed(recorded, folder="asking")
    assert (found["not_replayed"], found["replayed"]) == ({"confidence": 2}, 7)
    assert ("gated", "shop/ask", 1) in changes(found), "that one was asked"


def test_what_changed_since_is_told_apart_from_what_the_candidate_changes(recorded: GatewayProcess) -> None:
    policies = recorded.config.parent / "policies/support.toml"
    policies.write_text(CANDIDATE)
    try:
        found = replayed(recorded, "--fail-on", "refused", "--fail-on", "gated")
    finally:
        policies.write_text(CURRENT)
    assert all(each["already"] == each["calls"] == 1 for each in found["changes"])
    assert (found["drifted"], len(found["changes"])) == (5, 5)


def test_nothing_is_spent_or_written_by_a_replay(recorded: GatewayProcess) -> None:
    def kept() -> list[str]:
        with contextlib.closing(sqlite3.connect(load_without_servers(recorded.config, {}).database)) as database:
            return list(database.iterdump())

    before = kept()
    assert any("support.toml:allow[0]" in line for line in before)
    replayed(recorded)
    assert kept() == before


def test_a_hundred_thousand_calls_take_seconds(recorded: GatewayProcess) -> None:
    def row(number: int) -> EventRow:
        data = {
            "token": "t",
            "era": "modern",
            "rule": "support.toml:allow[0]",
            "arguments": {"text": "x" * (number % 7)},
        }
        of = {"call": f"{number:032x}", "agent": "support", "server": "shop", "tool": "pay"}
        return event_row(time.time(), "intent", data, **of)

    store = open_store(load_without_servers(recorded.config, {}))
    try:
        for start in range(0, 100_000, 10_000):
            rows = [row(number) for number in range(start, start + 10_000)]
            store.run(partial(insert_events, rows=rows))
    finally:
        store.stop()
    begun = time.monotonic()
    found = replayed(recorded)
    assert time.monotonic() - begun < 30  # some 2 s where nothing else runs
    assert (found["replayed"], found["counts"]["refused"]) == (
        100_009,
        1 + sum(number % 7 > 3 for number in range(100_000)),
    )
    assert len(orjson.dumps(found)) < 20_000

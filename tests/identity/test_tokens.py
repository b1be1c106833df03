"""A token is good while it is in force, of an agent with a policy, and exactly itself."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from databases import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.bearer import checksum
from gateway.call import Principal
from gateway.errors import Unauthenticated
from gateway.identity import Tokens
from gateway.store import Store

NOW = 1_800_000_000.0


@pytest.fixture
def store(database: Place) -> Iterator[Store]:
    store = database.open()
    yield store
    store.stop()


@pytest.fixture
def tokens(store: Store) -> Iterator[Tokens]:
    tokens = Tokens(store, clock=lambda: NOW)
    tokens.agents = {"payment", "support"}
    yield tokens
    tokens.close()


def refusal(tokens: Tokens, token: str, now: float = NOW) -> str:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token, now)
    return str(caught.value)


def with_checksum(head: str) -> str:
    return f"{head}_{checksum(head)}"


def test_a_new_token_stands_for_its_agent(tokens: Tokens) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW)
    assert tokens.verify(token, NOW) == Principal("payment", row.id)
    assert tokens.list_all() == [row]
    assert row.state(NOW) == "active"


def test_a_token_has_the_published_form(tokens: Tokens) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW)
    match = re.fullmatch(r"tg_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})", token)
    assert match is not None
    assert match[1] == row.id


def test_tokens_do_not_repeat(tokens: Tokens) -> None:
    made = {tokens.create("payment", expires=None, now=NOW)[0] for _ in range(50)}
    assert len(made) == len({token[14:57] for token in made}) == 50


def test_only_an_hmac_is_stored(tokens: Tokens, store: Store, database: Place) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW)
    (stored,) = database.rows("tokens")
    assert row.id in stored.values()
    assert token[14:57] not in repr(stored)
    for file in store.path.parent.iterdir():
        assert token[14:57].encode() not in file.read_bytes()


def test_every_refusal_reads_the_same(tokens: Tokens) -> None:
    token, row = tokens.create("payment", expires=timedelta(seconds=10), now=NOW)
    revoked, other = tokens.create("payment", expires=None, now=NOW)
    foreign, _ = tokens.create("gone", expires=None, now=NOW)
    assert tokens.revoke(other.id)
    unknown = with_checksum(f"tg_{'0' * 10}_{'0' * 43}")
    stolen_id = with_checksum(f"tg_{row.id}_{'0' * 43}")
    texts = {
        refusal(tokens, ""),
        refusal(tokens, "tg_"),
        refusal(tokens, token[:-1] + ("0" if token[-1] != "0" else "1")),
        refusal(tokens, "\u00e9" * len(token)),
        refusal(tokens, unknown),
        refusal(tokens, stolen_id),
        refusal(tokens, revoked),
        refusal(tokens, foreign),
        refusal(tokens, token, NOW + 10),
    }
    assert len(texts) == 1
    assert row.id not in texts.pop()


def test_a_token_expires_on_time(tokens: Tokens) -> None:
    token, row = tokens.create("payment", expires=timedelta(hours=1), now=NOW)
    assert tokens.verify(token, NOW + 3599.9)
    assert refusal(tokens, token, NOW + 3600)
    assert (row.state(NOW + 3599.9), row.state(NOW + 3600)) == ("active", "expired")


def test_a_revoked_token_stays_revoked(tokens: Tokens) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW)
    assert tokens.revoke(row.id)
    assert refusal(tokens, token)
    assert not tokens.revoke(row.id)
    assert not tokens.revoke("nonsense")
    assert [(kept.revoked, kept.state(NOW)) for kept in tokens.list_all()] == [(NOW, "revoked")]


def test_without_known_agents_nobody_is_let_in(store: Store) -> None:
    tokens = Tokens(store)
    token, _ = tokens.create("payment", expires=None, now=NOW)
    assert refusal(tokens, token)
    tokens.close()


def test_an_agent_whose_policy_is_gone_is_refused_at_once(tokens: Tokens) -> None:
    token, _ = tokens.create("payment", expires=None, now=NOW)
    assert tokens.verify(token, NOW)
    tokens.agents = {"support"}
    assert refusal(tokens, token)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 63), character=st.characters(exclude_categories=["Cs"]))
def test_a_token_changed_in_one_place_is_refused(tokens: Tokens, position: int, character: str) -> None:
    token, _ = tokens.create("payment", expires=None, now=NOW)
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        assert refusal(tokens, changed)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=80))
def test_any_text_is_refused_and_nothing_else_happens(tokens: Tokens, text: str) -> None:
    assert refusal(tokens, text)


def test_the_digest_is_compared_whole_and_in_constant_time(tokens: Tokens, store: Store, database: Place) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW)
    digest = tokens._digest(token).decode()
    for wrong in ("", digest[:-1], digest + "0", digest.upper() + "\u00e9"):
        database.execute("UPDATE tokens SET digest = :wrong WHERE id = :id", wrong=wrong, id=row.id)
        again = Tokens(store)
        again.agents = tokens.agents
        assert refusal(again, token)
        again.close()


def test_another_pepper_makes_every_token_void(tokens: Tokens, store: Store, tmp_path: Path, database: Place) -> None:
    token, _ = tokens.create("payment", expires=None, now=NOW)
    (tmp_path / "secret.key").unlink()
    other = database.open()
    again = Tokens(other)
    again.agents = {"payment"}
    assert refusal(again, token)
    again.close()
    other.stop()


def in_another_process(store: Store, code: str) -> str:
    """Run `code` with `tokens` of the same store in a process of its own; what it prints."""
    url = store.engine.url.set(drivername="postgresql").render_as_string() if store.database.postgresql else None
    program = f"""
from pathlib import Path
from gateway.identity import Tokens
from gateway.store import Store
tokens = Tokens(Store(Path({str(store.path)!r}), url={url!r}))
{code}
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    return ran.stdout.strip()


def test_a_token_revoked_by_another_process_is_refused_after_the_next_look(tokens: Tokens, store: Store) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW)
    in_another_process(store, f"tokens.revoke({row.id!r})")
    assert tokens.verify(token, NOW)
    assert tokens.refresh_if_changed()
    assert refusal(tokens, token)
    assert not tokens.refresh_if_changed()


def test_a_token_made_by_another_process_is_known_at_its_first_use(tokens: Tokens, store: Store) -> None:
    token = in_another_process(store, f"print(tokens.create('support', expires=None, now={NOW})[0])")
    assert tokens.verify(token, NOW).agent == "support"


def test_a_token_made_by_another_process_is_found_at_once(tokens: Tokens, store: Store) -> None:
    for _ in range(3):
        assert refusal(tokens, with_checksum(f"tg_{'0' * 10}_{'0' * 43}"), NOW)
        token = in_another_process(store, f"print(tokens.create('support', expires=None, now={NOW})[0])")
        assert tokens.verify(token, NOW).agent == "support"


def test_what_is_known_stays_in_force_while_the_store_cannot_be_read(
    tokens: Tokens, database: Place, caplog: pytest.LogCaptureFixture
) -> None:
    token, _ = tokens.create("payment", expires=None, now=NOW)
    database.execute("ALTER TABLE versions RENAME TO hidden")
    assert not tokens.refresh_if_changed()
    assert "tokens cannot be read" in caplog.text
    assert tokens.verify(token, NOW).agent == "payment"


def test_verify_is_right_while_others_create_and_revoke(tokens: Tokens, store: Store) -> None:
    steady, row = tokens.create("payment", expires=None, now=NOW)
    wrong = []
    until = time.monotonic() + 1.0

    def churn() -> None:
        other = Tokens(store)
        while time.monotonic() < until:
            _, made_row = other.create("support", expires=None, now=NOW)
            other.revoke(made_row.id)
        other.close()

    def verify() -> None:
        while time.monotonic() < until:
            if tokens.verify(steady, NOW).token != row.id:
                wrong.append(steady)
            tokens.refresh_if_changed()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(churn), pool.submit(verify)]:
            done.result()
    assert not wrong


def test_claims_of_a_token_stand_in_its_principal(tokens: Tokens, store: Store) -> None:
    token, row = tokens.create("payment", expires=None, now=NOW, claims={"customer_id": "C7", "level": 3})
    assert tokens.verify(token, NOW).claims == {"customer_id": "C7", "level": 3}
    assert tokens.list_all() == [row]
    other = Tokens(store, clock=lambda: NOW)
    other.agents = {"payment"}
    assert other.verify(token, NOW).claims == {"customer_id": "C7", "level": 3}
    other.close()


def test_a_database_of_an_earlier_release_gets_the_claims_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "toolgate.db"
    old = (
        "id VARCHAR(16) PRIMARY KEY, agent VARCHAR(64), digest VARCHAR(64), created FLOAT, expires FLOAT, revoked FLOAT"
    )
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE tokens ({old})")
        connection.execute("INSERT INTO tokens VALUES ('abcdefghij', 'payment', 'd', 1.0, NULL, NULL)")
    connection.close()
    for _ in range(2):
        store = Store(path)
        tokens = Tokens(store, clock=lambda: NOW)
        assert [(row.id, row.claims) for row in tokens.list_all()] == [("abcdefghij", {})]
        tokens.close()
        store.stop()

"""How tokens in memory keep up with the store: soon, and without reading them again for every event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import pytest
from databases import Place
from sqlalchemy import event

from gateway.call import Principal
from gateway.errors import Unauthenticated
from gateway.identity import Tokens
from gateway.store import Store

NOW = 1_800_000_000.0
EVENT = (NOW, "intent", "c1", "payment", "shop", "note", None, None, "{}")


@dataclass
class Clock:
    """Seconds, as told."""

    now: float = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(database: Place) -> Iterator[Store]:
    store = database.open()
    store.start()
    yield store
    store.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(store: Store, clock: Clock) -> Iterator[Tokens]:
    tokens = Tokens(store, clock)
    tokens.agents = {"payment", "support"}
    yield tokens
    tokens.close()


@pytest.fixture
def elsewhere(store: Store, database: Place) -> Iterator[Tokens]:
    """The same tokens as another process sees them."""
    other = database.open()
    tokens = Tokens(other)
    yield tokens
    tokens.close()
    other.stop()


@contextmanager
def statements(store: Store) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(" ".join(statement.split()))

    event.listen(store.engine, "before_cursor_execute", note)
    yield asked
    event.remove(store.engine, "before_cursor_execute", note)


def refused(tokens: Tokens, token: str, now: float = NOW) -> bool:
    try:
        tokens.verify(token, now)
    except Unauthenticated:
        return True
    return False


async def test_events_alone_do_not_make_it_read_the_tokens_again(store: Store, tokens: Tokens) -> None:
    tokens.create("payment", expires=None, now=NOW)
    tokens.refresh_if_changed()
    with statements(store) as asked:
        for _ in range(3):
            await store.append(EVENT)
            assert not tokens.refresh_if_changed()
    assert any("versions.n" in statement for statement in asked), "it never noticed the commits"
    assert not [statement for statement in asked if "tokens.digest" in statement]


def test_what_another_process_creates_or_revokes_is_read_at_the_next_look(tokens: Tokens, elsewhere: Tokens) -> None:
    token, row = elsewhere.create("payment", expires=None, now=NOW)
    assert tokens.refresh_if_changed() and tokens.valid(Principal("payment", row.id))
    assert elsewhere.revoke(row.id)
    assert tokens.refresh_if_changed() and not tokens.valid(Principal("payment", row.id))
    assert refused(tokens, token)


def test_an_unknown_id_is_looked_up_alone(store: Store, tokens: Tokens, elsewhere: Tokens) -> None:
    made = [elsewhere.create("payment", expires=None, now=NOW) for _ in range(5)]
    token, row = made[2]
    with statements(store) as asked:
        assert tokens.verify(token, NOW) == Principal("payment", row.id)
        assert tokens.verify(token, NOW) == Principal("payment", row.id)
    (only,) = asked
    assert "tokens.id = " in only
    assert [tokens.valid(Principal("payment", other.id)) for _, other in made] == [False, False, True, False, False]


def test_looking_up_one_token_does_not_hide_that_another_was_revoked(tokens: Tokens, elsewhere: Tokens) -> None:
    old, old_row = elsewhere.create("payment", expires=None, now=NOW)
    assert tokens.refresh_if_changed()
    assert elsewhere.revoke(old_row.id)
    new, new_row = elsewhere.create("support", expires=None, now=NOW)
    assert tokens.verify(new, NOW).token == new_row.id
    assert tokens.refresh_if_changed(), "the look at one token passed for a look at all"
    assert refused(tokens, old) and not tokens.valid(Principal("payment", old_row.id))
    assert not refused(tokens, new)


def test_a_token_that_was_looked_up_alone_is_revoked_like_any_other(tokens: Tokens, elsewhere: Tokens) -> None:
    token, row = elsewhere.create("payment", expires=None, now=NOW)
    assert not refused(tokens, token)
    assert elsewhere.revoke(row.id)
    assert tokens.refresh_if_changed()
    assert refused(tokens, token, NOW + 1)


def test_a_principal_is_not_valid_beyond_its_tokens_expiry(tokens: Tokens, clock: Clock) -> None:
    _, row = tokens.create("payment", expires=timedelta(seconds=10), now=NOW)
    principal = Principal("payment", row.id)
    clock.now = NOW + 9.9
    assert tokens.valid(principal)
    clock.now = NOW + 10
    assert not tokens.valid(principal)


def test_a_look_that_failed_is_taken_again(tokens: Tokens, elsewhere: Tokens, database: Place) -> None:
    _, row = tokens.create("payment", expires=None, now=NOW)
    tokens.refresh_if_changed()
    assert elsewhere.revoke(row.id)
    database.execute("ALTER TABLE tokens RENAME TO hidden")
    assert not tokens.refresh_if_changed()
    database.execute("ALTER TABLE hidden RENAME TO tokens")
    assert tokens.refresh_if_changed()
    assert not tokens.valid(Principal("payment", row.id))

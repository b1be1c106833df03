"""A reviewer is who holds a token in force that was made for a reviewer, under a name that no agent has."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from databases import Place
from sqlalchemy import select

from gateway.bearer import checksum
from gateway.errors import Unauthenticated
from gateway.identity import Tokens
from gateway.reviewers import Reviewer, Reviewers
from gateway.store import Store
from gateway.tables import events


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Place) -> Iterator[Store]:
    store = database.open()
    yield store
    store.stop()


@pytest.fixture
def reviewers(store: Store, clock: Clock) -> Reviewers:
    return Reviewers(store, clock)


def refusal(reviewers: Reviewers, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        reviewers.verify(token)
    return str(caught.value)


def test_a_new_token_stands_for_its_reviewer(reviewers: Reviewers, clock: Clock) -> None:
    token, row = reviewers.create("anna", expires=None)
    assert re.fullmatch(r"tr_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})_([0-9A-Za-z]{6})", token)
    assert reviewers.verify(token) == Reviewer("anna", row.id)
    assert reviewers.list_all() == [row]
    assert row.state(clock.now) == "active"


def test_only_an_hmac_is_stored(reviewers: Reviewers, store: Store) -> None:
    token, _ = reviewers.create("anna", expires=None)
    for file in store.path.parent.iterdir():
        assert token[14:57].encode() not in file.read_bytes()


def test_every_refusal_reads_the_same(reviewers: Reviewers, store: Store, clock: Clock) -> None:
    token, row = reviewers.create("anna", expires=timedelta(seconds=10))
    revoked, other = reviewers.create("ben", expires=None)
    namesake, _ = reviewers.create("payment", expires=None)
    assert reviewers.revoke(other.id)
    reviewers.agents = {"payment"}
    agents = Tokens(store, clock)
    agents.agents = {"payment"}
    of_an_agent, _ = agents.create("payment", expires=None, now=time.time())
    agents.close()
    heads = [f"tr_{'0' * 10}_{'0' * 43}", f"tr_{row.id}_{'0' * 43}"]
    forged = [f"{head}_{checksum(head)}" for head in heads]
    swapped = f"tg{token[2:]}"
    wrong = ["", "tr_", token[:-1] + ("0" if token[-1] != "0" else "1"), "\u00e9" * len(token), *forged]
    texts = {refusal(reviewers, each) for each in [*wrong, swapped, revoked, namesake, of_an_agent]}
    assert reviewers.verify(token)
    clock.now += 10
    assert texts == {refusal(reviewers, token)}


def test_a_reviewers_token_is_no_agents(reviewers: Reviewers, store: Store, clock: Clock) -> None:
    token, _ = reviewers.create("anna", expires=None)
    agents = Tokens(store, clock)
    agents.agents = {"anna"}
    with pytest.raises(Unauthenticated):
        agents.verify(token, clock.now)
    agents.close()


@pytest.mark.parametrize("name", ["", "Anna", "1a", "a" * 33, "a b", "a\n", "\u00e4nne", "a_b"])
def test_what_is_no_name_is_refused_with_the_form_of_one(reviewers: Reviewers, name: str) -> None:
    with pytest.raises(ValueError, match="lower-case letter"):
        reviewers.create(name, expires=None)
    assert reviewers.list_all() == []


def test_no_reviewer_can_be_called_like_an_agent(reviewers: Reviewers) -> None:
    reviewers.agents = {"payment"}
    with pytest.raises(ValueError, match="agent of this name"):
        reviewers.create("payment", expires=None)


def test_a_reviewer_stays_valid_until_the_token_is_void(reviewers: Reviewers, clock: Clock) -> None:
    token, row = reviewers.create("anna", expires=timedelta(hours=1))
    anna = reviewers.verify(token)
    assert reviewers.valid(anna)
    assert not reviewers.valid(Reviewer("ben", row.id))
    reviewers.agents = {"anna"}
    assert not reviewers.valid(anna)
    reviewers.agents = frozenset()
    clock.now += 3600
    assert not reviewers.valid(anna)


def test_a_revoked_token_stays_revoked(reviewers: Reviewers) -> None:
    token, row = reviewers.create("anna", expires=None)
    assert reviewers.revoke(row.id)
    assert refusal(reviewers, token)
    assert not reviewers.revoke(row.id)
    assert not reviewers.revoke("nonsense")


def test_creating_and_revoking_are_on_record(reviewers: Reviewers, store: Store) -> None:
    token, row = reviewers.create("anna", expires=None)
    reviewers.revoke(row.id)
    reviewers.revoke(row.id)
    rows = store.read(select(events.c.kind, events.c.data).order_by(events.c.seq))
    assert {each.kind for each in rows} == {"reviewer"}
    told = [json.loads(each.data) for each in rows]
    assert [each.pop("what") for each in told] == ["created", "revoked"]
    assert told == [{"id": row.id, "name": "anna", "expires": None}] * 2
    assert token[14:57] not in repr(rows)


def test_a_digest_that_was_tampered_with_lets_nobody_in(reviewers: Reviewers, database: Place) -> None:
    token, row = reviewers.create("anna", expires=None)
    database.execute("UPDATE reviewers SET digest = :wrong WHERE id = :id", wrong="0" * 64, id=row.id)
    assert refusal(reviewers, token)

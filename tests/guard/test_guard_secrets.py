"""Known secrets are found however they are written, whatever stands around them, and nothing else is masked."""

from __future__ import annotations

import base64
import json

import orjson
import pytest
from guard_parts import SECRET, values, words
from hypothesis import given, settings
from hypothesis import strategies as st
from spellings import SPELLINGS, readable

from gateway.config import Server
from gateway.credentials import secret_values
from gateway.rules.published import publishable
from gateway.rules.secrets import MASK, Secrets
from gateway.rules.skeleton import plain

secrets = st.text(alphabet="abcXYZ0189-_./+=!@#$%&<>\"'\\~", min_size=12, max_size=60).filter(
    lambda text: sum(char.isalnum() for char in text) >= 8
)


def found(known: Secrets, value: object) -> bool:
    return known.within(plain(orjson.dumps(value)))


@pytest.mark.parametrize("how", SPELLINGS)
@settings(deadline=None)
@given(secret=secrets, before=words, after=words)
def test_every_spelling_is_found_and_masked_whatever_stands_around_it(
    how: str, secret: str, before: str, after: str
) -> None:
    known = Secrets.of([secret])
    text = f"{before} {SPELLINGS[how](secret)} {after}"
    assert found(known, {"key": [text]})
    masked = known.masked(text)
    assert MASK in masked and not found(known, masked)
    assert readable(json.dumps(masked).encode(), secret) == []


@settings(deadline=None)
@given(secret=secrets, value=values)
def test_a_value_without_a_secret_is_left_alone(secret: str, value: object) -> None:
    known = Secrets.of([f"{secret}-unseen-7c1e"])
    assert not found(known, value)
    assert known.masked(json.dumps(value)) == json.dumps(value)


@pytest.mark.parametrize("secret", ["!@#$%^&*()_+", "pässwörd-gröss", "-----BEGIN\nKEY-----\nabc+/d\n", "0123456789"])
def test_secrets_of_signs_of_other_letters_and_of_several_lines_are_found(secret: str) -> None:
    known = Secrets.of([secret])
    for text in (f"is {secret}!", json.dumps(secret), json.dumps({"deep": json.dumps(secret)}), secret.upper()):
        assert found(known, text) and MASK in known.masked(text), text


def test_what_is_too_short_to_be_told_from_other_text_is_no_secret() -> None:
    known = Secrets.of(["1234567", "", "a b c d"])
    assert not found(known, "1234567 a b c d") and known.masked("1234567") == "1234567"


def test_what_looks_like_nothing_stays_where_it_is_when_a_secret_beside_it_is_masked() -> None:
    known = Secrets.of([SECRET])
    assert known.masked(f"one {SECRET}, ﬁnd two {SECRET}{SECRET}.") == f"one {MASK}, ﬁnd two {MASK}."


@pytest.mark.parametrize("text", ["\\u00名", "\\u", "\\", "\\\\u", "\\u12", "é\\x", "\\ud83d\\ude42", "\\n名\\"])
def test_text_with_what_looks_like_escapes_is_read_as_well(text: str) -> None:
    known = Secrets.of([SECRET])
    assert not found(known, text) and known.masked(text) == text
    assert found(known, f"{text} {SECRET}") and MASK in known.masked(f"{text} {SECRET}")


def test_a_secret_in_data_is_found_be_it_text_or_not() -> None:
    known = Secrets.of([SECRET])
    for content in (SECRET.encode(), b"\xff\x00" + SECRET.encode(), " ".join(SECRET).encode(), SECRET.encode("utf-16")):
        assert known.within_data(base64.b64encode(content).decode())
    assert not known.within_data("not base64!") and not known.within_data("aGVsbG8=")


def test_every_secret_of_the_configuration_is_known_whole_and_in_its_parts() -> None:
    basic = base64.b64encode(b"user:basic-password").decode()
    server = Server(
        name="shop",
        url="http://127.0.0.1:1/mcp?api_key=query-secret-1&page=one",
        headers={"Authorization": "Bearer header-secret", "Cookie": "sid=cookie-secret-1; x=1", "Accept": "text/plain"},
        env={
            "DSN": "postgres://me:dsn-password-1@host/db",
            "DB_PASSWORD": "correct-horse-battery",
            "REGION": "eu-central-1",
            "MODE": "production",
        },
        credentials={"ada": {"Authorization": f"Basic {basic}"}},  # type: ignore[dict-item]
    )
    known = secret_values([server])
    assert known >= {
        "query-secret-1", "header-secret", "cookie-secret-1", "dsn-password-1", "correct-horse-battery",
        basic, "user:basic-password", "basic-password",
    }  # fmt: skip
    assert not known & {"text/plain", "eu-central-1", "production", "one"}


def test_what_is_named_by_a_secret_is_not_published_and_other_secrets_are_masked() -> None:
    known = Secrets.of([SECRET])
    clean = {"name": "look", "inputSchema": {"type": "object"}}
    assert publishable(clean, known, "name") is clean
    masked = publishable({**clean, "description": f"Use {SECRET}.", "x": {SECRET: 1}}, known, "name")
    assert masked == {**clean, "description": f"Use {MASK}.", "x": {MASK: 1}}
    assert publishable({**clean, "name": SECRET}, known, "name") is None
    assert publishable({**clean, "x": [*SECRET]}, known, "name") is None

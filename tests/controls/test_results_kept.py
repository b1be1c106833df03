"""What outcome events keep of results: bounded, and without a secret however it is spelled or cut."""

from __future__ import annotations

import base64
from collections.abc import Callable

import orjson
import pytest
from control_parts import call

from gateway.rules.kept import PREVIEW, Kept
from gateway.rules.secrets import MASK, Secrets

SECRET = "canary-3f9c-of-the-server-77aa"
KNOWN = Secrets.of([SECRET])


def text(*parts: str) -> dict[str, object]:
    return {"content": [{"type": "text", "text": part} for part in parts]}


def test_nothing_is_kept_where_only_the_digest_is_wanted() -> None:
    assert Kept("digest", KNOWN, 1000)(call(), text("hello")) == {}


@pytest.mark.parametrize(
    ("result", "preview"),
    [
        (text("hello"), "hello"),
        (text("one", "two"), "one\ntwo"),
        (text("x" * 300), "x" * (PREVIEW - 1) + "…"),
        ({"structuredContent": {"a": 1}}, '{"a":1}'),
        ({"contents": [{"uri": "a:b", "text": "read"}]}, "read"),
        ({"content": "no list"}, ""),
        ({}, ""),
    ],
)
def test_a_preview_is_how_the_text_begins(result: dict[str, object], preview: str) -> None:
    assert Kept("preview", KNOWN, 1000)(call(), result) == {"preview": preview}


@pytest.mark.parametrize("spelled", [SECRET, SECRET[::-1], base64.b64encode(SECRET.encode()).decode(), SECRET.upper()])
@pytest.mark.parametrize("before", [0, 150, 190, 199, 1990])
def test_no_preview_shows_a_secret_or_half_of_one(spelled: str, before: int) -> None:
    kept = Kept("preview", KNOWN, 1000)(call(), text("." * before + spelled + " end"))["preview"]
    assert spelled[:8] not in kept and len(kept) <= PREVIEW


def test_what_masks_leave_room_for_is_no_half_secret() -> None:
    many = " ".join([SECRET] * 80)
    kept = Kept("preview", KNOWN, 1000)(call(), text(many))["preview"]
    assert MASK in kept and "canary" not in kept


def test_secret_arguments_are_masked_too() -> None:
    made = call(arguments={"card": "4111-canary-1111"}, secrets=frozenset({"card"}))
    assert "4111" not in Kept("preview", KNOWN, 1000)(made, text("charged 4111-canary-1111"))["preview"]


def test_a_whole_result_is_masked_and_bounded() -> None:
    whole = Kept("whole", KNOWN, 1000)(call(), text(f"say {SECRET}"))["whole"]
    assert whole["content"][0]["text"] == f"say {MASK}"
    assert len(orjson.dumps(Kept("whole", KNOWN, 1000)(call(), text("long " * 5000))["whole"])) <= 1100


@pytest.mark.parametrize("spell", [str, lambda text: text.encode().hex(), lambda text: " ".join(text)])
@pytest.mark.parametrize("before", [0, 150])
def test_a_secret_longer_than_any_preview_is_not_shown_in_part(spell: Callable[[str], str], before: int) -> None:
    token = "".join(f"{number:04x}" for number in range(1000, 1700))  # as long as some tokens in use are
    made = Kept("preview", Secrets.of([token]), 10_000)(call(), text("." * before + spell(token) + " end"))
    assert MASK in made["preview"] and spell(token)[:8] not in made["preview"]

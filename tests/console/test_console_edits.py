"""What a reviewer leaves alone in a form stays exactly what the agent gave, whatever a browser makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admin.edits import fields, from_form
from gateway.admin.render import seen
from gateway.approvals import Ticket
from gateway.approvals.edits import Unfit, merged
from gateway.approvals.shown import arguments
from gateway.approvals.ticket import masked
from gateway.times import lasting

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def ticket(given: Mapping[str, Any], *, secrets: frozenset[str] = frozenset(), **more: Any) -> Ticket:
    bound = more.pop("bound", {})
    plain: dict[str, Any] = dict.fromkeys(("token", "call", "rule", "policy", "schema", "fingerprint"), "")
    plain |= {"id": "t", "revision": 1, "kind": "approval", "state": "pending", "opened": 0.0, "expires": 9.0}
    shown = more.pop("shown", masked({**given, **bound}, secrets))
    told = {"agent": "a", "server": "s", "tool": "t", "given": given, "bound": bound, "shown": shown, **more}
    return Ticket(**{**plain, **told}, secrets=secrets)


def browsed(text: str) -> str:
    """What a browser sends of a textarea that holds this text: line ends of all kinds become CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


@given(given=st.dictionaries(TEXT, JSON, max_size=5))
def test_a_form_sent_back_as_it_was_changes_nothing(given: dict[str, Any]) -> None:
    asked = ticket(given)
    sent = {browsed(f"argument.{field.name}"): browsed(field.text) for field in fields(asked)}
    if len(sent) == len(given):  # else a field is there twice, and the form is not taken
        assert from_form(asked, sent) is None


@pytest.mark.parametrize("name", ["amount\n", "am\rount", "\r\namount"])
def test_an_edit_of_an_argument_with_an_odd_name_is_not_lost(name: str) -> None:
    asked = ticket({name: "900", "n": 1})
    assert from_form(asked, {browsed(f"argument.{name}"): "100", "argument.n": "1"}) == {name: "100", "n": 1}


def test_a_form_that_lacks_a_field_is_not_taken_for_one_that_changes_nothing() -> None:
    with pytest.raises(Unfit, match="without amount"):
        from_form(ticket({"amount": 900, "n": 1}), {"argument.n": "1"})


@given(before=JSON, after=JSON)
def test_a_field_takes_what_is_typed_in_its_own_terms(before: Any, after: Any) -> None:
    asked = ticket({"x": before, "y": before})
    (field, _) = fields(asked)
    (typed, _) = fields(ticket({"x": after, "y": after}))
    if field.plain is not typed.plain:
        return
    edit = from_form(asked, {"argument.x": browsed(typed.text), "argument.y": browsed(field.text)})
    assert edit is None or edit == {"x": after, "y": before}
    assert (edit is None) == (field.text == typed.text)


def test_values_that_were_made_plain_for_the_judges_are_sent_as_they_were_given() -> None:
    asked = ticket({"url": "HTTP://Shop/", "n": 1}, shown={"url": "http://shop/", "n": 1})
    assert merged(asked, {"url": "http://shop/", "n": 2}) == {"url": "HTTP://Shop/", "n": 2}
    assert merged(asked, {"url": "http://shop/", "n": 1}) is None


def test_true_is_not_one_and_one_is_not_one_point_nought() -> None:
    asked = ticket({"n": 1})
    assert merged(asked, {"n": True}) == {"n": True}
    assert merged(asked, {"n": 1.0}) == {"n": 1.0}


@pytest.mark.parametrize("name", ["card", "who"])
def test_secrets_and_what_is_filled_in_cannot_be_edited(name: str) -> None:
    asked = ticket({"card": "tok", "n": 1}, secrets=frozenset({"card"}), bound={"who": "me"})
    assert [field.name for field in fields(asked)] == ["n"]
    with pytest.raises(Unfit, match=name):
        merged(asked, {"n": 1, name: "other"})
    assert merged(asked, {"n": 2}) == {"card": "tok", "n": 2}
    assert from_form(asked, {"argument.card": "other", "argument.who": "other", "argument.n": "2"}) == {
        "card": "tok",
        "n": 2,
    }


def test_a_second_edit_begins_where_the_first_one_ended() -> None:
    asked = ticket({"n": 1, "m": 1}, edited={"n": 2, "m": 1}, approved="other")
    assert merged(asked, {"n": 2, "m": 1}) is None
    assert merged(asked, {"n": 1, "m": 1}) == {"n": 1, "m": 1}
    assert [(each.name, each.change, each.before) for each in arguments(asked)] == [
        ("n", "changed", 1),
        ("m", "", None),
    ]


def test_a_ticket_without_a_call_has_nothing_to_edit() -> None:
    with pytest.raises(Unfit, match="no arguments"):
        merged(ticket({"reason": "x"}, kind="request"), {})


@given(TEXT)
def test_text_is_escaped_and_what_cannot_be_seen_is_told(text: str) -> None:
    shown = str(seen(text))
    told = shown.replace('<span class="unseen" title="a character that cannot be seen">', "").replace("</span>", "")
    assert "<" not in told and '"' not in told
    assert all(character.isprintable() or character in "\n\t" for character in told)


@pytest.mark.parametrize("hidden", "\u034f\u17b4\u180b\u180f\u200b\u202e\u3164\ufe0f\U00016fe4\U0001d159\U000e0101")
def test_a_character_that_shows_nothing_is_told_inside_a_word(hidden: str) -> None:
    assert f"U+{ord(hidden):04X}" in str(seen(f"77{hidden}0"))


def test_spans_of_time_are_short() -> None:
    told = {0: "0 s", 59.9: "59 s", 60: "1 min", 3599: "59 min", 3660: "1 h 1 min", 90_000: "1 d 1 h", -5: "0 s"}
    assert {seconds: lasting(seconds) for seconds in told} == told

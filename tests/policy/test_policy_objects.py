"""One name of each region speaks for all names: whatever a rule may match is matched as its stand-in is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.policy import Rule
from gateway.policy.objects import covers, objects
from gateway.policy.rules import seg

SERVERS = ("payment", "pay", "billing")
texts = st.text("ab_", min_size=1, max_size=4)
patterns = texts | st.text("ab_", max_size=3).map(lambda prefix: f"{prefix}*")


def rules_of(targets: list[tuple[str, str]]) -> list[Rule]:
    return [Rule(f"r{place}", "a", "allow", "call", *target) for place, target in enumerate(targets)]


@given(st.lists(st.tuples(st.sampled_from([*SERVERS, "p*", "*"]), patterns), max_size=6), st.data())
def test_every_name_is_matched_as_one_object_is(targets: list[tuple[str, str]], data: st.DataObject) -> None:
    rules = rules_of(targets)
    found = {
        (each.server, frozenset(rule.id for rule in rules if rule.matches(each.server, each.name, "call")))
        for each in objects(rules, SERVERS)
    }
    for server in SERVERS:
        name = data.draw(texts)
        matching = frozenset(rule.id for rule in rules if rule.matches(server, name, "call"))
        assert not matching or (server, matching) in found


@given(patterns, patterns, texts)
def test_what_covers_a_pattern_matches_all_that_it_matches(outer: str, inner: str, name: str) -> None:
    if covers(outer, inner) and seg(name, inner):
        assert seg(name, outer)


def test_a_glob_narrowed_at_every_letter_still_has_a_stand_in() -> None:
    letters = [("pay", f"{chr(code)}*") for code in range(0x21, 0x7F) if chr(code) != "*"]
    (wide,) = (each for each in objects(rules_of([("pay", "*"), *letters]), SERVERS) if each.label == "*")
    assert not any(seg(wide.name, pattern) for _, pattern in letters)


def test_known_tools_are_objects_of_their_own() -> None:
    found = objects(rules_of([("pay", "ge*")]), SERVERS, {"pay": ["get"], "billing": ["send"]})
    assert [(each.target, each.is_glob) for each in found] == [
        ("billing/send", False),
        ("pay/ge*", True),
        ("pay/get", False),
    ]

"""Rules that never decide anything because of another one, as far as names and equal conditions tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.policy.explain import terms
from gateway.policy.objects import covers
from gateway.policy.rules import Rule


def denied(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Each allow rule that an unconditional deny rule overrides whatever the call, and that deny rule."""
    for rule, other, _ in _covering(rules):
        if rule.effect == "allow" and other.effect == "deny" and other.where is None:
            yield rule, other


def doubled(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Each rule that another one makes superfluous: to the same effect, on the same terms, and as wide."""
    for rule, other, first in _covering(rules):
        if rule.effect == other.effect and terms(rule) == terms(other):
            alike = rule.where == other.where
            wide = (alike and first) or (other.where is None and not alike)
            if wide and not _contended(rules, rule, other):
                yield rule, other


def _contended(rules: Sequence[Rule], rule: Rule, other: Rule) -> bool:
    """Whether, without `rule`, one on other terms would decide before `other` does: the first that allows decides."""
    between = rules[rules.index(rule) + 1 : rules.index(other)]
    return any(
        each.effect == rule.effect and terms(each) != terms(rule) and _meet(each, rule) and _meet(each, other)
        for each in between
    )


def _meet(one: Rule, two: Rule) -> bool:
    """Whether some object is named by both."""
    pairs = ((one.server, two.server), (one.name, two.name))
    return one.action == two.action and all(covers(*pair) or covers(*reversed(pair)) for pair in pairs)


def _covering(rules: Sequence[Rule]) -> Iterator[tuple[Rule, Rule, bool]]:
    """A rule, another that names all it names, and whether that one names more, or else the same but earlier."""
    globs = [index for index, rule in enumerate(rules) if "*" in (rule.server[-1], rule.name[-1])]
    same: dict[tuple[str, str, str], list[int]] = {}
    for index, rule in enumerate(rules):
        same.setdefault(_object(rule), []).append(index)
    for index, rule in enumerate(rules):
        for place in sorted({*globs, *same[_object(rule)]} - {index}):
            other = rules[place]
            if other.action == rule.action and covers(other.server, rule.server) and covers(other.name, rule.name):
                yield rule, other, place < index or _object(other) != _object(rule)


def _object(rule: Rule) -> tuple[str, str, str]:
    return rule.action, rule.server, rule.name

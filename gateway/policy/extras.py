"""What a rule may say besides object and `where`: `bind`, `shadow`, `gate`, `limit`, `budget`. Finds what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gateway.policy.rules import Effect, nearest
from gateway.policy.vocabulary import Fault, faults, is_json

CLAIM = re.compile(r"claims\.([A-Za-z_][A-Za-z0-9_-]{0,63})")
RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)")
SPAN = re.compile(r"[1-9][0-9]{0,4}[smhdw]")
_PERIODS = ("minute", "hour", "day", "run")
_GATES: dict[str, tuple[frozenset[str], str | None]] = {
    "approval": (frozenset({"when", "approvers", "expires", "words"}), None),
    "confidence": (frozenset({"when", "threshold", "approvers", "expires", "words"}), "threshold"),
    "escalation": (frozenset({"when", "tiers", "expires", "words"}), "tiers"),
}
"""The keys of each type of gate beside `type`, and the one it must have."""

_BINDINGS = 'write "claims.NAME" for a claim of the token, or { const = value }'


def extra_faults(table: Mapping[str, Any], kind: str, effect: Effect) -> Iterator[Fault]:
    """Everything wrong with these keys of a rule on a `kind` (tool, resource, prompt)."""
    for key, check in _CHECKS.items():
        if key not in table:
            continue
        if effect == "deny" and key != "shadow":
            yield key, "says how a call is let through, so it cannot stand on a deny rule", "remove it"
        elif kind != "tool" and key in ("bind", "gate", "budget"):
            yield key, f"cannot stand on a {kind}, which has no arguments", "remove it"
        else:
            yield from check(table[key], table)


def _bind(bind: object, table: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(bind, dict) or not bind:
        yield "bind", "fills in nothing", 'write for example bind = { customer_id = "claims.customer_id" }'
        return
    where = table.get("where")
    for name, source in bind.items():
        place = f"bind.{name}"
        if not name or not name.isprintable():
            yield f"bind.{name!r}", "is no argument name", "type the name again"
        elif isinstance(where, dict) and name in where:
            yield place, "is in `where` as well, which could never hold", "keep one of them"
        elif isinstance(source, str):
            if not CLAIM.fullmatch(source):
                yield place, "is neither a claim nor a constant", _BINDINGS
        elif not isinstance(source, dict) or source.keys() != {"const"}:
            yield place, "is neither a claim nor a constant", _BINDINGS
        elif not is_json(source["const"]):
            yield f"{place}.const", "is a value JSON cannot carry", "use text, finite numbers, booleans, lists, tables"


def _shadow(shadow: object, table: Mapping[str, Any]) -> Iterator[Fault]:
    if shadow is not True:
        yield "shadow", "is not true", "write shadow = true, or remove it to enforce the rule"


def _gate(gate: object, table: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(gate, dict) or not gate:
        yield "gate", "is not a table", 'write for example gate = { type = "approval" }'
        return
    kind = gate.get("type")
    if not isinstance(kind, str) or kind not in _GATES:
        yield "gate.type", "is no type of gate", nearest(str(kind), _GATES)
        return
    known, needed = _GATES[kind]
    for key in sorted(gate.keys() - known - {"type"}):
        yield f"gate.{key}", f"is not a key of a gate of type {kind}", nearest(key, known | {"type"})
    if needed is not None and needed not in gate:
        yield f"gate.{needed}", f"is missing from a gate of type {kind}", "write it"
    for key in sorted(gate.keys() & known):
        yield from _GATE_CHECKS[key](gate[key])


def _when(when: object) -> Iterator[Fault]:
    for path, message, fix in faults(when):
        yield ".".join(filter(None, ("gate.when", path))), message, fix


def _threshold(threshold: object) -> Iterator[Fault]:
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        yield "gate.threshold", "is no number from 0 to 1", "write for example threshold = 0.9"


def _approvers(approvers: object) -> Iterator[Fault]:
    if not _is_count(approvers):
        yield "gate.approvers", "is no whole number from 1", "write for example approvers = 2"


def _expires(expires: object) -> Iterator[Fault]:
    if not _is_span(expires):
        yield "gate.expires", "is no span of time", 'write a number and s, m, h, d or w, such as "30m"'


def _words(words: object) -> Iterator[Fault]:
    if not isinstance(words, str) or not words.strip() or not words.isprintable():
        yield "gate.words", "is not a sentence on one line", "say what a reviewer should look at"


def _tiers(tiers: object) -> Iterator[Fault]:
    if not isinstance(tiers, list) or not tiers or not all(isinstance(tier, dict) for tier in tiers):
        yield "gate.tiers", "is not a list of tables", 'write tiers = [{ reviewers = ["NAME"], after = "15m" }]'
        return
    for index, tier in enumerate(tiers):
        place = f"gate.tiers[{index}]"
        for key in sorted(tier.keys() - {"reviewers", "after"}):
            yield f"{place}.{key}", "is not a key of a tier", nearest(key, ("reviewers", "after"))
        names = tier.get("reviewers")
        if not isinstance(names, list) or not names or not all(_is_word(name) for name in names):
            yield f"{place}.reviewers", "is not a list of names", 'write for example reviewers = ["shift-lead"]'
        elif len(set(names)) < len(names):
            yield f"{place}.reviewers", "names somebody more than once", "name everybody once"
        last = index == len(tiers) - 1
        if not _is_span(tier.get("after")) and not (last and "after" not in tier):
            yield f"{place}.after", "is no span of time after which the next tier is asked", 'write after = "15m"'


def _limit(limit: object, table: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(limit, list) or not limit:
        yield "limit", "is not a list of rates", 'write for example limit = ["10/minute"]'
        return
    periods = []
    for index, rate in enumerate(limit):
        match = RATE.fullmatch(rate) if isinstance(rate, str) else None
        if match is None:
            yield f"limit[{index}]", "is no rate", "write N/second, N/minute, N/hour or N/day, with N from 1"
        elif match[2] in periods:
            yield f"limit[{index}]", f"limits the {match[2]} once more", "keep the lower one"
        else:
            periods.append(match[2])


def _budget(budget: object, table: Mapping[str, Any]) -> Iterator[Fault]:
    if not isinstance(budget, list) or not budget or not all(isinstance(each, dict) for each in budget):
        yield "budget", "is not a list of tables", 'write budget = [{ sum = "amount", max = 1000, per = "day" }]'
        return
    for index, each in enumerate(budget):
        place = f"budget[{index}]"
        for key in sorted(each.keys() - {"sum", "max", "per", "currency"}):
            yield f"{place}.{key}", "is not a key of a budget", nearest(key, ("sum", "max", "per", "currency"))
        if not _is_word(each.get("sum")):
            yield f"{place}.sum", "names no argument", 'write for example sum = "amount"'
        if not _is_count(each.get("max")):
            yield f"{place}.max", "is no whole number from 1", "write for example max = 1000"
        if each.get("per") not in _PERIODS:
            yield f"{place}.per", "is no period", nearest(str(each.get("per")), _PERIODS)
        if "currency" in each and not _is_word(each["currency"]):
            yield f"{place}.currency", "is neither an argument nor a currency", 'write for example currency = "USD"'


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_span(value: object) -> bool:
    return isinstance(value, str) and SPAN.fullmatch(value) is not None


def _is_word(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


_CHECKS: dict[str, Callable[[object, Mapping[str, Any]], Iterator[Fault]]] = {
    "bind": _bind,
    "shadow": _shadow,
    "gate": _gate,
    "limit": _limit,
    "budget": _budget,
}
_GATE_CHECKS: dict[str, Callable[[object], Iterator[Fault]]] = {
    "when": _when,
    "threshold": _threshold,
    "approvers": _approvers,
    "expires": _expires,
    "words": _words,
    "tiers": _tiers,
}
EXTRA_KEYS = frozenset(_CHECKS)

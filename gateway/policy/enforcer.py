"""Casbin: the model every decision relies on, and one enforcer per agent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Any

import casbin

from gateway.policy.rules import Rule, seg

MODEL = {
    ("r", "r"): "sub, srv, tool, act, ctx",
    ("p", "p"): "sub, srv, tool, act, eft, rule",
    ("g", "g"): "_, _",
    ("e", "e"): "some(where (p_eft == allow)) && !some(where (p_eft == deny))",
    ("m", "m"): (
        "g(r_sub, p_sub) && r_act == p_act && seg(r_srv, p_srv) && seg(r_tool, p_tool) && holds(r_ctx, p_rule)"
    ),
}
"""The model as Casbin parses it (`r.sub` becomes `r_sub`). Another one may fail open, so it does not load."""

_LOCK = Lock()
"""Casbin writes to its function map and role graph while it enforces, and parses its matcher. CPython 3.11 counts the
depth of what it parses for all threads together, so that two that parse at once may end in a SystemError.
"""

_SECTIONS: dict[str, str] = casbin.model.Model.section_name_map


def model_faults(text: str) -> Iterator[tuple[str, str, str]]:
    """Key, message and fix for everything in which a model differs from MODEL once Casbin has parsed it."""
    try:
        parsed = casbin.Enforcer.new_model(text=text)
    except Exception as error:  # Casbin raises whatever its parser stumbled on
        yield "model", f"Casbin cannot read it ({type(error).__name__})", "restore the model of this release"
        return
    found = {(section, key): part.value for section, parts in parsed.items() for key, part in parts.items()}
    for place in sorted(MODEL.keys() | found.keys()):
        if found.get(place) != MODEL.get(place):
            section, key = place
            expected = MODEL.get(place)
            yield (
                f"{_SECTIONS[section]}.{key}",
                f"is {_shown(found.get(place))}, but decisions rely on {_shown(expected)}",
                f"write: {key} = {_source(expected)}" if expected else f"remove {key}",
            )


class Enforcer:
    """Casbin for one agent and its roles. It is given, each time, the rules that can match; threads may share it."""

    def __init__(self, model: str, agent: str, roles: Iterable[str]) -> None:
        self._agent = agent
        parsed = casbin.Enforcer.new_model(text=model)
        parsed["g"]["g"].policy.extend([agent, role] for role in roles)
        self._rules = parsed["p"]["p"]
        self._casbin = _ParsedOnce(parsed)
        self._casbin.fm.add_function("seg", seg)
        self._casbin.fm.add_function("holds", _holds)
        self._casbin.build_role_links()

    def enforce(
        self, rules: Sequence[Rule], server: str, name: str, action: str, holding: frozenset[str]
    ) -> tuple[bool, str | None]:
        """Casbin's verdict over `rules`, one or more, and the id of the rule that made it, None when no rule did.

        `holding` are the ids of the rules whose condition holds, or that have none.
        """
        if not rules:
            raise ValueError("Casbin over no rules would run its matcher on empty texts")
        # Put there as Casbin's own adapters do: its add_policy compares each rule with all before it.
        rows = [[each.subject, each.server, each.name, each.action, each.effect, each.id] for each in _in_order(rules)]
        with _LOCK:
            self._rules.policy = rows
            allowed, row = self._casbin.enforce_ex(self._agent, server, name, action, holding)
        return allowed is True, row[-1] if row else None


class _ParsedOnce(casbin.Enforcer):  # type: ignore[misc]
    """Casbin parses its matcher anew for each request, which is most of what a decision costs. Here it does it once."""

    _expression: Any = None

    def _get_expression(self, expr: str, functions: Mapping[str, Any] | None = None) -> Any:
        if self._expression is None:
            self._expression = super()._get_expression(expr, functions)
        self._expression.functions = functions
        return self._expression


def _in_order(rules: Iterable[Rule]) -> list[Rule]:
    """Such that the first rule of a file is the one Casbin names: it stops at the first deny that matches,
    but goes through all allows and names the last.
    """
    listed = list(rules)
    denies = [rule for rule in listed if rule.effect == "deny"]
    return denies + [rule for rule in reversed(listed) if rule.effect == "allow"]


def _holds(holding: frozenset[str], rule: str) -> bool:
    return rule in holding


def _source(value: str) -> str:
    return value.replace("r_", "r.").replace("p_", "p.")


def _shown(value: Any) -> str:
    return "missing" if value is None else f'"{_source(value)}"'

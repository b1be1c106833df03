"""A policy for Casbin's own tools: a model of Casbin's built-in functions alone, and one CSV file.

The model shipped with Toolgate calls two functions of ours. `keyMatch` does what `seg` does, for names are
exact or end in one `*`. Conditions stay with whoever asks: a rule with one bears its id in the column `cond`,
and a request brings the ids of those that hold, as a list, in `ctx`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ConfigError, Problem
from gateway.policy.explain import failure, role
from gateway.policy.policy import Policy
from gateway.policy.rules import Rule

MODEL = """\
# Exported by `toolgate policy export`, for Casbin's own tools: built-in functions only.
#   r.act   call (a tool), read (a resource), get (a prompt)
#   r.ctx   the ids, from the column cond, of the rules whose condition holds for the arguments at hand

[request_definition]
r = sub, srv, tool, act, ctx

[policy_definition]
p = sub, srv, tool, act, eft, cond

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.sub) && r.act == p.act && keyMatch(r.srv, p.srv) && keyMatch(r.tool, p.tool) && \
(p.cond == "-" || p.cond in r.ctx)
"""
NO_CONDITION = "-"
_UNQUOTED = re.compile(r'[,"#()\[\]]|^\s|\s$')
"""What Casbin's CSV cannot carry in a name: it has no quoting, and brackets nest."""


@dataclass(frozen=True, slots=True)
class Export:
    """Lines of the CSV file, and the rules that are not in it because they are in shadow."""

    csv: str
    left_out: tuple[Rule, ...]


def export(policy: Policy) -> Export:
    """The rules of all agents as Casbin's CSV. Raises ConfigError for names it cannot carry."""
    rules = {rule.id: rule for agent in sorted(policy.agents) for rule in policy.rules(agent)}
    enforced = [rule for rule in rules.values() if not rule.shadow]
    fix = "export the others: take this rule out of a copy of the folder"
    problems = [
        Problem(rule.place, _key(rule), "has a name that Casbin's CSV cannot carry", fix)
        for rule in enforced
        if _UNQUOTED.search(rule.server) or _UNQUOTED.search(rule.name)
    ]
    if problems:
        raise ConfigError(problems)
    lines = [f"# Policy {policy.digest}", *(", ".join(("p", *row(rule))) for rule in enforced)]
    for agent in sorted(policy.agents):
        roles = {rule.subject: None for rule in policy.rules(agent) if role(rule) is not None}
        lines += [f"g, {agent}, {subject}" for subject in roles]
    return Export("\n".join(lines) + "\n", tuple(rule for rule in rules.values() if rule.shadow))


def row(rule: Rule) -> tuple[str, ...]:
    """One rule as columns of the model: sub, srv, tool, act, eft, cond."""
    cond = NO_CONDITION if rule.where is None and not rule.bind else rule.id
    return rule.subject, rule.server, rule.name, rule.action, rule.effect, cond


def context(policy: Policy, agent: str, arguments: Mapping[str, Any]) -> list[str]:
    """The ids of an agent's rules whose condition holds for these arguments: `ctx` of a request."""
    return [rule.id for rule in policy.rules(agent) if not failure(rule, arguments)]


def _key(rule: Rule) -> str:
    return rule.id.partition(":")[2]

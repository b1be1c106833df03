"""Our decisions equal those of Cedar over an independent translation of the same rules."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from cedar import Request, Rules, allowed, members, translate
from policy_files import SERVERS, page

from gateway.policy import load

REQUESTS = 1_000_000 if os.environ.get("TOOLGATE_LONG") else 20_000
ASKED = 250
"""Requests for each random policy."""

AGENTS = ("ada", "bob")
NAMES = ("get", "get_all", "delete", "delete_all", "Get", "g")
AMOUNTS: list[Any] = [0, 3, 4.5, 5, 5.5, 9, True, None, "5", [5], {}]
TEXTS: list[Any] = ["USD", "EUR", "usd", "", "UK", None, 5, False]
BODIES: dict[str, list[dict[str, Any]]] = {
    "amount": [{word: 5} for word in ("maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum")],
    "unit": [{"enum": ["USD", "EUR"]}, {"enum": ["usd"]}, {"pattern": "^U"}],
}


def rule(draw: random.Random) -> tuple[str, dict[str, Any]]:
    effect, kind = (
        draw.choice(["allow", "allow", "allow", "allow", "deny"]),
        draw.choice(["tool", "tool", "tool", "resource", "prompt"]),
    )
    server, name = draw.choice([*SERVERS, *"****", "p*"]), draw.choice([*NAMES, *"****", "get*", "delete_*"])
    made: dict[str, Any] = {kind: f"{server}/{name}"}
    if kind == "tool" and draw.random() < 0.6:
        bodies = BODIES | ({"unit": [*BODIES["unit"], {"not": {"enum": ["USD"]}}]} if effect == "allow" else {})
        made["where"] = {name: draw.choice(bodies[name]) for name in draw.sample(sorted(bodies), draw.choice([1, 2]))}
    if kind == "tool" and effect == "allow" and draw.random() < 0.3:
        made["bind"] = {"who": {"const": "x"}}
    return effect, made


def rules(draw: random.Random, least: int, most: int) -> list[tuple[str, dict[str, Any]]]:
    made: list[tuple[str, dict[str, Any]]] = []
    for _ in range(draw.randint(least, most)):
        if (new := rule(draw)) not in made:
            made.append(new)
    return made


def request(draw: random.Random) -> Request:
    given = {name: draw.choice(pool) for name, pool in (("amount", AMOUNTS), ("unit", TEXTS)) if draw.random() < 0.7}
    if draw.random() < 0.2:
        given["who"] = "y"
    action = draw.choice(["call", "call", "call", "read", "get"])
    return draw.choice(AGENTS), draw.choice(SERVERS), draw.choice(NAMES), action, given


def written(agents: Mapping[str, Rules], roles: Mapping[str, Rules], granted: Mapping[str, Any]) -> dict[str, str]:
    files = {f"roles/{role}.toml": page("role", role, made) for role, made in roles.items()}
    for agent, own in agents.items():
        open_ended = granted[agent] or any(effect == "allow" for effect, _ in own)
        keys = {} if open_ended else {"deny_all": True}
        files[f"{agent}.toml"] = page("agent", agent, own, granted[agent], **keys)
    return files


@pytest.mark.timeout(1800)
def test_no_decision_differs_from_cedars(write: Callable[[Mapping[str, str]], Path]) -> None:
    draw, asked, let_through = random.Random(4), 0, 0
    while asked < REQUESTS:
        agents = {agent: rules(draw, 0, 6) for agent in AGENTS}
        roles = {role: rules(draw, 1, 3) for role in ("clerk", "guest")}
        granted = {agent: [role for role in roles if draw.random() < 0.4] for agent in AGENTS}
        policy = load(write(written(agents, roles, granted)), SERVERS)
        requests = [request(draw) for _ in range(ASKED)]
        for one, theirs in zip(requests, allowed(translate(agents, roles), members(granted), requests), strict=True):
            agent, server, name, action, given = one
            ours = policy.decide(agent, server, name, action, given).allowed
            assert ours is theirs, (one, agents[agent], roles, granted[agent])
            let_through += ours
        asked += ASKED
    assert 0.1 < let_through / asked < 0.9

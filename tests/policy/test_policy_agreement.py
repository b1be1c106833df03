"""For random policies and catalogs, what an agent is listed, shown and answered agree.

A tool that is not listed is not found. With one rule, a call runs exactly when the published schema takes its
arguments; with several, or a deny on arguments, a call that runs is one that the published schema takes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from policy_files import page

from gateway.call import Call, Facts, Principal, Result, Silent
from gateway.catalog import Catalog, Offer, checker, compile_tools
from gateway.controls.authorize import Authorize
from gateway.controls.bind import Bind
from gateway.controls.validate import Validate
from gateway.errors import Denied, InvalidArguments, NotFound
from gateway.mcp_face.lists import Lists
from gateway.metrics import Metrics
from gateway.order import chain
from gateway.policy import Policy, load
from gateway.policy.rules import Rule

SERVERS = ("payment", "records")
NAMES = ("get", "get_all", "delete_all", "g")
AGENTS = ("ada", "bob", "cid")
CLAIMS = {"customer": "C7"}
TRIPLES, ASKED = 20_000, 50
"""In all, and of each random policy and catalog."""

AMOUNTS: list[Any] = [0, 3, 3, 4, 5, 5.5, 9, True, None, "5", [5]]
TEXTS: list[Any] = ["USD", "USD", "EUR", "usd", "", None, 5]
BODIES = {
    "amount": [{"maximum": 5}, {"minimum": 3, "type": "integer"}, {"enum": [3, 9]}, {"not": {"const": 3}}],
    "unit": [{"enum": ["USD", "EUR"]}, {"pattern": "^U"}, {"anyOf": [{"const": "usd"}, {"minLength": 3}]}],
    "region": [{"enum": ["eu", "us"]}, {"maxLength": 2}],
}


@dataclass
class World:
    """One random policy over one random catalog, and a way to ask both."""

    policy: Policy
    catalog: Catalog
    draw: random.Random
    counted: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.lists = Lists(self.catalog, lambda: self.policy, 100)
        self.run = chain([Authorize(lambda: self.policy, Metrics(), lambda agent: False), Bind(), Validate()], _below)

    def rules(self, agent: str, server: str, tool: str) -> list[Rule]:
        return [r for r in self.policy.rules(agent) if r.matches(server, tool, "call") and not r.shadow]

    async def check(self, agent: str, server: str, tool: str, arguments: dict[str, Any]) -> None:
        shown = {entry["name"]: entry for entry in self.lists.page(agent, server, "tools", None)["tools"]}
        ran = await self._ran(agent, server, tool, arguments)
        assert (ran is None) is (tool not in shown), "listed and found differ"
        if ran is None:
            self.counted["hidden"] += 1
            return
        takes = checker(shown[tool]["inputSchema"])(arguments) is None
        rules = self.rules(agent, server, tool)
        bound = {name for rule in rules for name in rule.bind or {}}
        if len(rules) == 1 and not bound & arguments.keys():
            assert takes is ran, (rules, arguments)
            self.counted["one rule, runs" if ran else "one rule, refused"] += 1
        else:
            assert takes or not ran, (rules, arguments)
            self.counted["several, runs" if ran else "several, refused"] += 1

    async def _ran(self, agent: str, server: str, tool: str, arguments: dict[str, Any]) -> bool | None:
        """Whether the tool was reached; None when it was not found."""
        principal, definition = Principal(agent, "t", CLAIMS), self.catalog.tool(server, tool)
        fields: dict[str, Any] = {"id": "c", "peer": Silent(), "era": "modern", "definition": definition}
        call = Call(principal=principal, server=server, tool=tool, arguments=arguments, **fields)
        try:
            await self.run(call)
        except NotFound:
            return None
        except (Denied, InvalidArguments):
            return False
        return True


async def _below(call: Call) -> Result:
    return {"content": []}


def schema(draw: random.Random) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "amount": draw.choice([{}, {"type": "integer"}, {"type": "number", "maximum": 6}]),
        "unit": draw.choice([{}, {"type": "string"}, {"type": ["string", "null"]}]),
        "region": {"type": "string"},
        "who": {"type": "string"},
    }
    required = [name for name in properties if draw.random() < 0.3]
    closed = {"additionalProperties": False} if draw.random() < 0.5 else {}
    return {"type": "object", "properties": properties, "required": required, **closed}


def catalog(draw: random.Random) -> Catalog:
    made = Catalog(SERVERS)
    for server in SERVERS:
        names = [name for name in NAMES if draw.random() < 0.9]
        definitions = [{"name": name, "inputSchema": schema(draw)} for name in names]
        made.put(Offer(server, up=True, tools=compile_tools(server, definitions, lambda _: Facts(), lambda _: {})))
    return made


def rule(draw: random.Random) -> tuple[str, dict[str, Any]]:
    effect = draw.choice(["allow", "allow", "allow", "allow", "deny"])
    server, name = (
        draw.choice([*SERVERS, "*", "*", "*", "p*"]),
        draw.choice([*NAMES, "*", "*", "*", "get*", "delete_*"]),
    )
    made: dict[str, Any] = {"tool": f"{server}/{name}"}
    if draw.random() < 0.6:
        names = draw.sample(sorted(BODIES), draw.choice([1, 1, 2]))
        made["where"] = {argument: draw.choice(BODIES[argument]) for argument in names}
    if effect == "allow" and draw.random() < 0.3:
        bind: dict[str, Any] = {"who": "claims.customer"}
        if "region" not in made.get("where", {}) and draw.random() < 0.5:
            bind["region"] = {"const": "eu"}
        made["bind"] = bind
    if draw.random() < 0.15:
        made["shadow"] = True
    return effect, made


def rules(draw: random.Random, most: int) -> list[tuple[str, dict[str, Any]]]:
    made: list[tuple[str, dict[str, Any]]] = []
    for _ in range(draw.randint(1, most)):
        if (new := rule(draw)) not in made:
            made.append(new)
    return made


def policy(draw: random.Random, write: Callable[[Mapping[str, str]], Path]) -> Policy:
    files = {"roles/shared.toml": page("role", "shared", rules(draw, 2))}
    for agent in AGENTS:
        own, roles = rules(draw, 4), ["shared"] if draw.random() < 0.3 else []
        grants = roles or any(effect == "allow" for effect, _ in own)
        files[f"{agent}.toml"] = page("agent", agent, own, roles, **({} if grants else {"deny_all": True}))
    return load(write(files), SERVERS)


def arguments(draw: random.Random) -> dict[str, Any]:
    pools = {"amount": AMOUNTS, "unit": TEXTS, "region": ["eu", "us", "asia", 7], "who": ["C7", "C8"], "other": [1]}
    shares = {"amount": 0.7, "unit": 0.6, "region": 0.4, "who": 0.3, "other": 0.1}
    return {name: draw.choice(pool) for name, pool in pools.items() if draw.random() < shares[name]}


async def test_twenty_thousand_times_list_published_schema_and_call_agree(write: Any) -> None:
    draw, counted = random.Random(20261125), Counter[str]()
    for _ in range(TRIPLES // ASKED):
        world = World(policy(draw, write), catalog(draw), draw, counted)
        for _ in range(ASKED):
            tool = draw.choice([*NAMES, "absent"])
            await world.check(draw.choice(AGENTS), draw.choice(SERVERS), tool, arguments(draw))
    assert counted.total() == TRIPLES
    assert min(counted.values()) > 300, counted
    assert len(counted) == 5, counted

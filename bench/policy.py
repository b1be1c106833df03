"""What policy costs: a decision among many rules, the load of many agents, a list of many tools.

    python bench/policy.py [--rules 5000] [--agents 200] [--tools 200] [--decisions 20000]

Every request of the first table names another object than the one before, so that little is remembered;
half of them match no rule. Times are CPU time of one thread, which never waits; of loads and lists, the best of five.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gateway.call import Facts
from gateway.catalog import Catalog, Offer, compile_tools
from gateway.mcp_face.lists import Lists
from gateway.policy import Policy, load

MODEL = (Path(__file__).parents[1] / "policies" / "model.conf").read_text()
SERVERS = [f"server-{number}" for number in range(20)]
ROUNDS = 5


@contextmanager
def folder(files: dict[str, str]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        for file, text in {"model.conf": MODEL, **files}.items():
            (path / file).write_text(text)
        yield path


def page(agent: str, rules: list[str]) -> str:
    return "\n".join([f'agent = "{agent}"', 'description = "Bench."', *rules])


def rules(count: int, seed: int) -> list[str]:
    """Exact names for the most part, a twentieth globs, a quarter with conditions, a tenth denies."""
    draw = random.Random(seed)
    written = []
    for number in range(count):
        effect = "deny" if number and draw.random() < 0.1 else "allow"
        name = f"{draw.choice('abcdef')}{number}*" if draw.random() < 0.05 else f"tool_{number}"
        where = f"where = {{ amount = {{ maximum = {number + 1} }} }}" if draw.random() < 0.25 else ""
        written.append(f'[[{effect}]]\ntool = "{SERVERS[number % len(SERVERS)]}/{name}"\n{where}')
    return written


def best(work: Callable[[], Any]) -> float:
    """Seconds."""
    times = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return min(times)


def decisions(count: int, asked: int) -> None:
    with folder({"agent.toml": page("agent", rules(count, 1))}) as path:
        policy = load(path, SERVERS)
    draw, times = random.Random(2), []
    for _ in range(asked):
        number = draw.randrange(count)
        name = f"tool_{number}" if draw.random() < 0.5 else f"none_{draw.randrange(10**9)}"
        arguments = {"amount": draw.randrange(count), "text": "x"}
        started = time.thread_time_ns()
        policy.decide("agent", SERVERS[number % len(SERVERS)], name, "call", arguments)
        times.append((time.thread_time_ns() - started) / 1000)
    cuts = statistics.quantiles(times, n=1000)
    print(f"decision, {count} rules: p50 {cuts[499]:.1f} us, p99 {cuts[989]:.1f} us, p99.9 {cuts[998]:.1f} us")


def loading(agents: int) -> None:
    with folder({f"agent-{n}.toml": page(f"agent-{n}", rules(25, n)) for n in range(agents)}) as path:
        seconds = best(lambda: load(path, SERVERS))
    print(f"load, {agents} agents with 25 rules each: {seconds * 1000:.0f} ms")


def lists(tools: int) -> None:
    properties = {f"argument_{number}": {"type": "string", "description": "Words. " * 10} for number in range(6)}
    schema = {"type": "object", "properties": {"amount": {"type": "integer"}, **properties}, "required": ["amount"]}
    definitions = [{"name": f"tool_{n}", "description": "Does it. " * 20, "inputSchema": schema} for n in range(tools)]
    catalog = Catalog(["shop"])
    none = Facts()
    catalog.put(Offer("shop", up=True, tools=compile_tools("shop", definitions, lambda _: none, lambda _: {})))
    condition = "where = { amount = { maximum = 500 } }"
    glob = [f'[[allow]]\ntool = "shop/*"\n{condition}', '[[deny]]\ntool = "*/delete_*"']
    exact = [f'[[allow]]\ntool = "shop/tool_{n}"\n{condition}' for n in range(tools)]
    for title, written in (("one glob", glob), (f"{tools} rules", exact)):
        with folder({"agent.toml": page("agent", written)}) as path:
            fresh = [load(path, ["shop"]) for _ in range(ROUNDS)]
        kept = Lists(catalog, partial(fresh.__getitem__, 0), tools)
        first = best(partial(lambda left: listed(catalog, left.pop(), tools), fresh[:]))
        listed_by(kept, tools)
        later = best(partial(listed_by, kept, tools))
        print(f"tools/list, {tools} tools by {title}: first {first * 1000:.2f} ms, later {later * 1e6:.0f} us")


def listed(catalog: Catalog, policy: Policy, tools: int) -> None:
    """The first list after a change."""
    listed_by(Lists(catalog, lambda: policy, tools), tools)


def listed_by(lists: Lists, tools: int) -> None:
    page = lists.page("agent", None, "tools", None)
    assert len(page["tools"]) == tools
    assert page["tools"][0]["inputSchema"]["properties"]["amount"]["maximum"] == 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rules", 5000), ("agents", 200), ("tools", 200), ("decisions", 20_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    decisions(given.rules, given.decisions)
    loading(given.agents)
    lists(given.tools)


if __name__ == "__main__":
    main()

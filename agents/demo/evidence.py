"""What the gateway wrote down while the scenes ran: its audit log and its metrics."""

from __future__ import annotations

import json
import sqlite3
import urllib.request
from contextlib import closing

from agents.demo.scenes import say, title
from agents.demo.shop import Shop

_SHOWN = (
    'toolgate_calls_total{agent="support"',
    'toolgate_calls_total{agent="payment"',
    "toolgate_refusals_total",
    "toolgate_decisions_total",
    "toolgate_ticket_wait_seconds_sum",
    "toolgate_rollbacks_total",
    "toolgate_undo_steps_total",
    "toolgate_signals_total",
    "toolgate_retries_total",
    "toolgate_breaker_state",
    "toolgate_upstream_up",
    "toolgate_event_commit_rows_sum",
    "toolgate_event_commit_rows_count",
)


def audit_log(shop: Shop) -> None:
    title(9, "What the audit log recorded")
    with closing(sqlite3.connect(f"file:{shop.folder / 'toolgate.db'}?mode=ro", uri=True)) as store:
        counts = dict(store.execute("select kind, count(*) from events group by kind"))
        say(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())) + ".")
        open_intents = store.execute(
            "select count(*) from events i where kind = 'intent' and not exists"
            " (select 1 from events o where o.kind = 'outcome' and o.call = i.call)"
        ).fetchone()[0]
        say(f"Intents without an outcome: {open_intents}.")
        say("The order with the declined card, call by call:")
        rows = store.execute(
            "select i.agent, i.server, i.tool, o.reason, o.data from events i join events o on o.call = i.call"
            " where i.kind = 'intent' and o.kind = 'outcome' and i.run like 'ORD-7002%' order by i.seq"
        )
        for agent, server, tool, reason, data in rows:
            outcome = json.loads(data)
            told = f"{outcome['outcome']}{f' ({reason})' if reason else ''}"
            say(f"  {agent:12} {server + '/' + tool:34} {told:12} {outcome['ms']:8.1f} ms")
        say("Refused before anything was sent:")
        for agent, server, tool, reason in store.execute(
            "select agent, server, tool, reason from events where kind = 'refusal' order by seq"
        ):
            say(f"  {agent:12} {server + '/' + tool:34} {reason}")


def metrics(shop: Shop) -> None:
    title(10, "What the metrics say")
    with urllib.request.urlopen(f"{shop.url}/metrics") as response:
        lines = response.read().decode().splitlines()
    for name in _SHOWN:
        for line in lines:
            if line.startswith(name) and not line.endswith(" 0.0"):
                say(f"  {line}")

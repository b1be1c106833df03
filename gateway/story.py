"""A run told from the log: who did what and why, what it took, what was refused, who was asked, what was undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Literal

from sqlalchemy import select

from gateway.store import Store
from gateway.tables import events, runs
from gateway.times import exactly
from gateway.trail import Event, Wanted, oldest

Kind = Literal["call", "refusal", "ticket", "run", "undo"]
Spent = tuple[str, int]
"""An account (see `gateway.budgets`) and an amount."""

UNDOING = ".compensate"
"""How the rule of a call ends that undoes another: it is declared with the tool, not in a policy."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one reviewer decided on a ticket, in which words, and the seconds it had waited by then."""

    reviewer: str
    verdict: str
    words: str
    waited: float
    edited: bool


@dataclass(slots=True, kw_only=True)
class Entry:
    """One thing that happened in a run, and what came of it.

    call      one that was sent: `outcome` is None while there is none, `settled` what people found out about it
    refusal   one that was not, for `reason`
    ticket    one that people were asked about, or a question of the agent's: `outcome` is its state
    run       the run changed its state, to `outcome`, for `reason`
    undo      a step that could not be undone, and what people said (`outcome`)

    `at` is seconds since the epoch, `events` are their places in the log. `arguments` are as recorded; `statement` is
    the agent's own word for why. `spent` is what it took of limits and budgets, after what was given back. `undoes` is
    the call that this one undoes, `by` the call that undid this one, or that a ticket let through.
    """

    kind: Kind
    at: float
    events: list[int]
    call: str
    server: str
    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    rule: str | None = None
    token: str | None = None
    key: str | None = None
    statement: str | None = None
    confidence: float | None = None
    outcome: str | None = None
    reason: str | None = None
    detail: str | None = None
    ms: float | None = None
    spent: list[Spent] = field(default_factory=list)
    ticket: str | None = None
    gate: str | None = None
    decisions: list[Said] = field(default_factory=list)
    settled: str | None = None
    undoes: str | None = None
    by: str | None = None
    found: list[str] = field(default_factory=list)
    """What the guard did to its answer."""


@dataclass(frozen=True, slots=True)
class Story:
    """A run of one agent. `state` and `why` are of its row, None where it has none: see `gateway.runs`. `whole` is
    False when it has more events than were asked for.
    """

    agent: str
    run: str
    state: str | None
    why: str | None
    entries: tuple[Entry, ...]
    whole: bool

    @property
    def began(self) -> float:
        return self.entries[0].at

    @property
    def lasted(self) -> float:
        """Seconds from the first thing that happened to the last that is known."""
        return max(each.at + (each.ms or 0) / 1000 for each in self.entries) - self.began

    @property
    def tokens(self) -> list[str]:
        return sorted({each.token for each in self.entries if each.token})

    @property
    def waited(self) -> float:
        """Seconds that calls of it waited for people, those that waited together counted together."""
        total, until = 0.0, 0.0
        for each in self.entries:
            if each.kind == "ticket" and each.decisions:
                begins, ends = max(each.at, until), each.at + each.decisions[-1].waited
                total, until = total + max(ends - begins, 0.0), max(until, ends)
        return total

    @property
    def spent(self) -> dict[str, int]:
        """Amounts by account."""
        total: Counter[str] = Counter()
        for each in self.entries:
            for account, amount in each.spent:
                total[account] += amount
        return {account: amount for account, amount in sorted(total.items()) if amount}

    @property
    def counts(self) -> dict[str, int]:
        """How many calls ended how: an outcome, `refused` or `under way`; `asked` people, `undone`."""
        count: Counter[str] = Counter()
        for each in self.entries:
            if each.kind == "call" and each.undoes is None:
                count[each.outcome or "under way"] += 1
                count["undone"] += each.by is not None
            elif each.kind in ("refusal", "ticket"):
                count["refused" if each.kind == "refusal" else "asked"] += 1
        return {name: number for name, number in count.items() if number}


def agents_of(store: Store, run: str) -> list[str]:
    """The agents that have a run of this name in the log."""
    found = store.read(select(events.c.agent).where(events.c.run == run).distinct().order_by(events.c.agent))
    return [row.agent for row in found]


def tell(store: Store, agent: str, run: str, most: int | None = None) -> Story | None:
    """The story of a run, of at most so many of its events; None when nothing of it is in the log."""
    found = list(islice(oldest(store, Wanted(agent=agent, run=run)), None if most is None else most + 1))
    if not found:
        return None
    row = next(iter(store.read(select(runs.c.state, runs.c.why).where(runs.c.agent == agent, runs.c.run == run))), None)
    state, why = (None, None) if row is None else (row.state, row.why)
    entries = _Told().all(found[:most])
    if not entries:
        return None  # the end of a call whose beginning was archived
    return Story(agent, run, state, why, tuple(entries), most is None or len(found) <= most)


class _Told:
    """Events put together to what happened."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._calls: dict[str, Entry] = {}
        self._tickets: dict[str, Entry] = {}

    def all(self, found: Iterable[Event]) -> list[Entry]:
        for event in found:
            match event.kind:
                case "intent" | "refusal":
                    self._call(event)
                case "outcome" | "guard" | "settled":
                    self._after(event)
                case "ticket" | "decision":
                    self._ticket(event)
                case "run" | "undo":
                    self._add(_entry(event, event.kind, outcome=event.data.get("state", event.data.get("result"))))
        return self._entries

    def _add(self, entry: Entry) -> Entry:
        self._entries.append(entry)
        return entry

    def _call(self, event: Event) -> None:
        data = event.data
        entry = self._add(_entry(event, "call" if event.kind == "intent" else "refusal"))
        entry.spent = [(account, amount) for account, _, amount in data.get("spends", ())]
        if event.kind == "intent":
            self._calls[event.call] = entry
        if (data.get("rule") or "").endswith(UNDOING):
            entry.undoes = (data.get("key") or "").removeprefix("undo/").partition("/")[0] or None
        if (ticket := self._tickets.get(data.get("ticket", ""))) is not None:
            ticket.by = event.call

    def _after(self, event: Event) -> None:
        entry, data = self._calls.get(event.call), event.data
        if entry is None:
            return
        entry.events.append(event.seq)
        if event.kind == "guard":
            entry.found += [f"{name} {_few(data[name])}" for name in data if name != "result"]
        elif event.kind == "settled":
            entry.settled = f"{data['by']} found that it {_FOUND[data['verdict']]}: {data['words']}"
            if data["verdict"] == "did_not":
                entry.spent = []
        else:
            entry.outcome, entry.reason, entry.ms = data["outcome"], event.reason, data["ms"]
            if data["outcome"] in ("failed", "input_required"):
                entry.spent = []
            elif data["outcome"] == "tool_error":
                entry.spent = [each for each in entry.spent if each[0].startswith("limit/")]
            if data["outcome"] == "ok" and (undone := self._calls.get(entry.undoes or "")) is not None:
                undone.by = event.call

    def _ticket(self, event: Event) -> None:
        data = event.data
        entry = self._tickets.get(data["ticket"])
        if entry is None:
            entry = self._tickets[data["ticket"]] = self._add(_entry(event, "ticket"))
            entry.gate, entry.statement = data.get("gate"), data.get("reason")
        else:
            entry.events.append(event.seq)
        entry.outcome = data["state"]
        if event.kind == "decision":
            waited = event.at - entry.at
            said = Said(data["reviewer"], data["verdict"], data.get("words") or "", waited, "edited" in data)
            entry.decisions.append(said)
        elif data.get("deed") == "expired":
            entry.reason = data.get("why")


def _entry(event: Event, kind: Kind, outcome: str | None = None) -> Entry:
    data = event.data
    names = ("rule", "token", "key", "statement", "confidence", "detail", "ticket")
    told: dict[str, Any] = {name: data.get(name) for name in names}
    return Entry(
        kind=kind,
        at=event.at,
        events=[event.seq],
        call=event.call,
        server=event.server,
        tool=event.tool,
        arguments=data.get("arguments") or {},
        reason=event.reason or data.get("why"),
        outcome=outcome,
        **told,
    )


_FOUND = {"happened": "happened", "did_not": "did not happen"}


def _few(value: Any) -> str:
    return ", ".join(f"{name} {value[name]}" for name in value) if isinstance(value, Mapping) else str(value)


def cost(account: str, amount: int) -> str:
    """What was taken of a limit or budget, in words."""
    kind, _, rest = account.partition("/")
    parts = rest.split("/")
    if kind == "limit" and len(parts) >= 4:
        return f"{amount} of the calls a {parts[-1]} of {'/'.join(parts[1:-1])}"
    if kind == "budget" and len(parts) >= 5:
        currency = "" if parts[-2] == "-" else f" ({parts[-2]})"  # whether these are cents only the tool knows
        return f"{amount} of {parts[-3]}{currency} a {parts[-1]} at {'/'.join(parts[1:-3])}"
    return f"{amount} of {account}"


def story_json(story: Story) -> dict[str, Any]:
    """A story as programs are told it. Times are ISO 8601 in UTC, `lasted` and `waited` seconds."""
    return {
        "run": story.run,
        "agent": story.agent,
        "tokens": story.tokens,
        "state": story.state,
        "why": story.why,
        "began": exactly(story.began),
        "lasted": round(story.lasted, 3),
        "waited": round(story.waited, 3),
        "counts": story.counts,
        "spent": [{"account": account, "amount": amount} for account, amount in story.spent.items()],
        "whole": story.whole,
        "entries": [_shape(each) for each in story.entries],
    }


def _shape(entry: Entry) -> dict[str, Any]:
    spent = [{"account": account, "amount": amount} for account, amount in entry.spent]
    return {**dict(_filled(asdict(entry))), "at": exactly(entry.at), **({"spent": spent} if spent else {})}


def _filled(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What there is to say: what is empty is left out, but for an outcome, where none is one too."""
    always = ("kind", "at", "events", "call", "server", "tool", "arguments", "outcome")
    return ((name, value) for name, value in fields.items() if name in always or value not in (None, [], {}))

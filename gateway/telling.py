"""What is said of each entry of a story, one sentence a line, and of an event, for people who never saw the gateway."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from gateway.story import Entry, Said, Story, cost
from gateway.times import lasting
from gateway.trail import Event

Tone = Literal["good", "bad", "open", "quote", "plain"]


class Line(NamedTuple):
    """`tone` is how it is to be looked at: `quote` is what somebody wrote, never to be believed."""

    tone: Tone
    text: str


_OUTCOMES: dict[str | None, Line] = {
    "ok": Line("good", "It worked"),
    "tool_error": Line("bad", "The tool reported an error"),
    "input_required": Line("open", "The tool asked for more before it would run"),
    "failed": Line("bad", "It failed, and had no effect"),
    "unknown": Line("open", "Nobody knows whether it took effect"),
    None: Line("open", "It is under way, or the gateway died in between"),
}
_STATES = {
    "pending": Line("open", "Nobody has decided yet."),
    "approved": Line("good", "It is approved, and not used yet."),
    "consumed": Line("good", "The approval was used."),
    "rejected": Line("bad", "It was rejected, so nothing ran."),
    "expired": Line("bad", "It is void"),
}
_VOID = {
    "time": "nobody decided in time",
    "policy": "the agent's policy changed",
    "schema": "the tool changed",
    "arguments": "another rule applies to the edited arguments",
    "withdrawn": "the agent withdrew it",
}
_RUN = {
    "finished": Line("good", "The run finished"),
    "rolling_back": Line("bad", "The run failed and is undone, the latest step first"),
    "rolled_back": Line("plain", "What could be undone is undone"),
    "active": Line("plain", "The run goes on"),
}
_WHO = {
    "agent": "so the agent said",
    "operator": "so an operator said",
    "lease": "nothing was heard of it for too long",
}
_STEP = {
    "stuck": Line("bad", "It could not be undone, so people are asked"),
    "approved": Line("good", "People said to try again."),
    "rejected": Line("plain", "People settled it by hand."),
}

_DETAIL = 80
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")
"""Shown by its beginning, as elsewhere."""
_SAYS = {
    "outcome": ("outcome", "spends", "preview"),
    "intent": ("rule", "key"),
    "refusal": ("detail",),
    "settled": ("verdict", "by", "words"),
    "ticket": ("deed", "ticket"),
    "decision": ("verdict", "reviewer", "ticket", "words"),
    "start": ("version", "policy"),
    "policy": ("digest",),
    "reload": ("problems",),
    "checkpoint": ("what", "n", "where", "found", "problem"),
    "archived": ("file",),
    "gap": ("problem",),
    "mode": ("read_only", "by"),
    "pin": ("deed", "why", "by"),
    "token": ("what", "id"),
    "reviewer": ("what", "name", "id"),
    "login": ("what", "name"),
    "run": ("state", "why"),
    "undo": ("result", "why", "ticket"),
    "key": ("key", "by"),
    "guard": ("masked", "stripped", "withheld", "cut", "markers"),
    "notice": ("deed", "kind", "problem"),
}
"""What of `data` one line has room for."""
_EXPECTED = (None, "committed")
"""Goes without saying."""


def heading(entry: Entry) -> str:
    """What an entry is about, but for the name of its tool."""
    if entry.kind == "ticket":
        return "asked people for help" if entry.gate == "request" else "had to ask people before it could call"
    if entry.kind == "undo":
        return "step to be undone by"
    if entry.kind == "run":
        return "the run"
    if entry.undoes is not None:
        return "the gateway undid a step by"
    return "called" if entry.kind == "call" else "was refused"


def digested(entry: Entry) -> str | None:
    """What is said in place of arguments that are not recorded as they were."""
    if entry.arguments.keys() != {"bytes", "digest"}:
        return None
    return f"{entry.arguments['bytes']} bytes of arguments, recorded by digest only"


def lines(entry: Entry) -> Iterator[Line]:
    """What came of it, first of all; then why, what it took, who said what."""
    if entry.kind == "run":
        said = _RUN.get(entry.outcome or "", Line("plain", f"The run is {entry.outcome}"))
        why = _WHO.get(entry.reason or "") if entry.outcome != "rolled_back" else None
        yield Line(said.tone, f"{said.text}{'' if why is None else f': {why}'}.")
    elif entry.kind == "undo":
        said = _STEP.get(entry.outcome or "", Line("plain", str(entry.outcome)))
        yield Line(said.tone, f"{said.text}: {entry.reason}." if entry.reason else said.text)
    elif entry.kind == "ticket":
        yield from _asked(entry)
    else:
        yield from _came(entry)
    yield from _why(entry)


def _came(entry: Entry) -> Iterator[Line]:
    if entry.kind == "refusal":
        yield Line("bad", f"Refused, nothing ran: {(entry.reason or '').replace('_', ' ')}{_because(entry)}.")
        return
    outcome = _OUTCOMES.get(entry.outcome, Line("plain", str(entry.outcome)))
    reason = f" ({entry.reason.replace('_', ' ')})" if entry.reason else ""
    yield Line(outcome.tone, f"{outcome.text}{reason}{'' if entry.ms is None else f', after {short(entry.ms)}'}.")
    if entry.settled is not None:
        yield Line("quote", entry.settled)
    if entry.undoes is None and entry.by is not None:
        yield Line("plain", f"It was undone later, by call {entry.by}.")
    if entry.undoes is not None:
        yield Line("plain", f"That undoes call {entry.undoes}.")
    for found in entry.found:
        yield Line("plain", f"Of its answer: {found}.")


def _because(entry: Entry) -> str:
    return f", {entry.detail}" if entry.detail else ""


def _asked(entry: Entry) -> Iterator[Line]:
    for said in entry.decisions:
        yield _decided(said)
        if said.words:
            yield Line("quote", said.words)
    state = _STATES.get(entry.outcome or "", Line("plain", f"Its ticket is {entry.outcome}."))
    if entry.outcome == "expired":
        yield Line("bad", f"{state.text}: {_VOID.get(entry.reason or '', entry.reason or 'for no reason known')}.")
    elif entry.gate != "request" or not entry.decisions:
        yield state


def _decided(said: Said) -> Line:
    verdict = "approved" if said.verdict == "approve" else "rejected"
    edited = ", with other arguments" if said.edited else ""
    tone: Tone = "good" if said.verdict == "approve" else "bad"
    return Line(tone, f"{said.reviewer} {verdict} it after {short(said.waited * 1000)}{edited}.")


def _why(entry: Entry) -> Iterator[Line]:
    if entry.statement:
        sure = f" ({entry.confidence * 100:g}% sure)" if entry.confidence else ""
        yield Line("plain", f"Why, in the agent's words{sure}:")
        yield Line("quote", entry.statement)
    elif entry.confidence:
        yield Line("plain", f"The agent said it was {entry.confidence * 100:g}% sure.")
    if entry.rule:
        by = "Asked for by" if entry.kind == "ticket" else "Allowed by"
        yield Line("plain", f"{by} {entry.rule}.")
    if entry.kind == "call" and entry.ticket:
        yield Line("plain", f"People had let it through: ticket {entry.ticket}.")
    for account, amount in entry.spent:
        yield Line("plain", f"It took {cost(account, amount)}.")


def summary(story: Story) -> str:
    """A run in one sentence or three."""
    counts = {name.replace("_", " "): number for name, number in story.counts.items()}
    told = [f"{number} {name}" for name, number in counts.items()]
    state = "" if story.state is None else f" It is {story.state.replace('_', ' ')}."
    waited = f" Waited {short(story.waited * 1000)} for people." if story.waited else ""
    spent = "; ".join(cost(account, amount) for account, amount in story.spent.items())
    calls = f"Calls: {', '.join(told)}." if told else "No calls."
    return f"{calls} It took {short(story.lasted * 1000)}.{state}{waited}{f' Spent: {spent}.' if spent else ''}"


def short(ms: float) -> str:
    """A span given in milliseconds, for people."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s" if ms < 60_000 else lasting(ms / 1000)


def gist(event: Event) -> str:
    """What an event says, on one line and in few words."""
    values = {name: event.data.get(name) for name in _SAYS.get(event.kind, ())}
    told = {name: value for name, value in values.items() if value not in (None, "", [], {})}
    words = [event.reason, *(v if isinstance(v, str) else f"{name} {json.dumps(v)}" for name, v in told.items())]
    text = " ".join(_DIGEST.sub(r"\1", " ".join(word.split())) for word in words if word not in _EXPECTED)
    return text if len(text) <= _DETAIL else text[: _DETAIL - 1] + "…"

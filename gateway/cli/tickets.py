"""Tickets on the terminal. What agents wrote is shown so that it can neither hide anything nor pass for our words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from gateway.approvals import Decision, Ticket
from gateway.approvals.history import Share
from gateway.approvals.shown import approved_by, arguments, content, current
from gateway.audit import Past
from gateway.cli.output import one_line, table, visible
from gateway.times import lasting, moment

WIDTH = 100
DIGITS = 12
"""Of a digest, as shown to people."""
_SHORT = 48
_LONG = 4000
"""Characters of one argument: what is longer says so."""
_STATES = {
    "pending": "waits",
    "approved": "is approved",
    "rejected": "is rejected",
    "consumed": "is approved and used",
}
_EXPIRED = {
    "time": "has expired: nobody decided, or its agent did not come for it, in time",
    "policy": "is void: the policy is another now",
    "schema": "is void: the tool is another now",
    "arguments": "is void: the arguments are others",
    "withdrawn": "is withdrawn by its agent",
}
_KINDS = {
    "approval": "approval: the rule wants consent",
    "confidence": "confidence: the agent is not sure enough",
    "escalation": "escalation: reviewers are asked in turn",
    "request": "request: the agent turns to people by itself",
    "undo": "undo: a step of a run could not be undone",
}
_RUNS = "Approve to let it run once, when its agent comes for it. Edit to let it run with other arguments."
_MEANING = {
    "request": "Approving or rejecting runs nothing: the agent gets your words as the answer.",
    "undo": "Approve to have it tried again. Reject to leave it as it is: then settle it by hand.",
}
_PLAIN = re.compile(r"[\w.-]{1,64}", re.ASCII)
_OUTCOMES = {None: "under way, or unknown", "tool_error": "the tool reported an error", "input_required": "asked back"}


def listing(found: Sequence[Ticket], now: float, everything: bool) -> str:
    """One line a ticket; `everything`: decided ones are among them, so that their state is shown."""
    header = ["TICKET", "STATE" if everything else "LEFT", "KIND", "AGENT", "TOOL", "ARGUMENTS"]
    rows = []
    for ticket in found:
        left = "-" if ticket.kind == "undo" else lasting(ticket.expires - now)
        place = [ticket.kind, ticket.agent, f"{ticket.server}/{ticket.tool}"]
        rows.append([ticket.id, ticket.state if everything else left, *place, _summary(ticket)])
    return table(header, rows)


def sheet(ticket: Ticket, past: Sequence[Past], now: float) -> str:
    """All there is to know before deciding."""
    # What a request says stands in its reason.
    parts = [_head(ticket, now), what_runs(ticket) if ticket.kind != "request" else ""]
    if ticket.reason:
        parts.append(f"Why, in the agent's own words, which nobody checked:\n\n{_quoted(ticket.reason)}")
    parts.append("\n".join(_facts(ticket, now)))
    if ticket.decisions:
        parts.append("Decisions:\n\n" + "\n".join(_decision(each) for each in ticket.decisions))
    parts.append(_lately(ticket.agent, past, now))
    if ticket.state == "pending":
        parts.append("\n".join(_choices(ticket)))
    return "\n\n".join(part for part in parts if part)


def what_runs(ticket: Ticket) -> str:
    """The arguments, one a line, with where each comes from if not from the agent. Empty when there are none."""
    listed = arguments(ticket)
    width = max((len(_name(each.name)) for each in listed), default=0)
    lines = []
    for each in listed:
        value = "left out" if each.change == "removed" else each.value if each.secret else _value(each.value)
        notes = ["filled in by the gateway"] if each.filled else []
        if each.change == "added":
            notes.append("added by a reviewer")
        elif each.change:
            notes.append(f"the agent gave {_value(each.before)}")
        note = f"   ({', '.join(notes)})" if notes else ""
        lines.append(f"  {_name(each.name).ljust(width)}  {value}{note}")
    return "\n".join(lines)


def statistics(shares: Sequence[Share]) -> str:
    """How gates were decided, and how long calls waited."""
    header = ["TOOL", "CONFIDENCE", "TICKETS", "APPROVED", "EDITED", "REJECTED", "EXPIRED", "WAIT P50", "P90", "MAX"]
    rows = []
    for share in shares:
        counts = (share.approved, share.edited, share.rejected, share.expired)
        total = sum(counts)
        waits = ["-" if wait is None else lasting(wait) for wait in (share.wait_p50, share.wait_p90, share.wait_max)]
        shown = [f"{count} ({round(100 * count / total)} %)" if count else "-" for count in counts]
        rows.append([f"{share.server}/{share.tool}", share.band, str(total), *shown, *waits])
    return table(header, rows)


def state(ticket: Ticket) -> str:
    """What has become of it, in words."""
    return _EXPIRED[ticket.why or "time"] if ticket.state == "expired" else _STATES[ticket.state]


def _head(ticket: Ticket, now: float) -> str:
    open_yet = ticket.state in ("pending", "approved") and ticket.kind != "undo"
    left = f", {lasting(ticket.expires - now)} left" if open_yet else ""
    first = f"Ticket {ticket.id} {state(ticket)}{left}"
    tool = one_line(f"{ticket.server}/{ticket.tool}")
    if ticket.kind == "request":
        return f"{first}\n{ticket.agent} says that something is beyond it"
    if ticket.kind == "undo":
        return f"{first}\n{tool} could not undo a call of {ticket.agent}, with"
    verb = "wants" if ticket.state == "pending" else "wanted"
    return f"{first}\n{ticket.agent} {verb} to call {tool}" + (" with" if current(ticket) else "")


def _facts(ticket: Ticket, now: float) -> Iterator[str]:
    pending = ticket.state == "pending"
    confidence = None if ticket.confidence is None else f"{ticket.confidence:g} of 1, as the agent says"
    facts = {
        "look at": ticket.words,
        "kind": _KINDS[ticket.kind],
        "confidence": confidence,
        "rule": ticket.rule or None,
        "run": ticket.run,
        "call": ticket.call,
        "opened": f"{moment(ticket.opened)}, {lasting(now - ticket.opened)} ago",
        "expires": moment(ticket.expires) if pending and ticket.kind != "undo" else None,
        "decides": _asked(ticket, now) if pending else None,
        "digest": content(ticket)[:DIGITS] if pending else None,
    }
    for name, text in facts.items():
        if text:
            yield f"{name:10}  {one_line(text)}"


def _asked(ticket: Ticket, now: float) -> str:
    """Who may decide, who did, and who is asked next."""
    asks = ticket.asks()
    who = "any reviewer" if asks is None else ", ".join(sorted(asks))
    if ticket.approvers > 1:
        who = f"{ticket.approvers} of {who}" if asks else f"{ticket.approvers} different reviewers"
        who += f"; approved so far by {', '.join(approved_by(ticket)) or 'nobody'}"
    if ticket.escalates is not None:
        others = ", ".join(ticket.tiers[ticket.tier + 1].reviewers)
        who += f"; in {lasting(ticket.escalates - now)} also {others}"
    return who


def _decision(decision: Decision) -> str:
    verdict = "rejected it" if decision.verdict == "reject" else "approved it"
    edited = " with other arguments" if decision.edited else ""
    words = f"\n{_quoted(decision.words)}" if decision.words else ""
    return f"  {moment(decision.at)}  {decision.reviewer} {verdict}{edited}{words}"


def _lately(agent: str, past: Sequence[Past], now: float) -> str:
    if not past:
        return f"{agent} has made no other call yet."
    rows = []
    for each in past:
        outcome = _OUTCOMES.get(each.outcome, each.outcome or "")
        reason = f" ({each.reason})" if each.reason else ""
        rows.append([f"{lasting(now - each.at)} ago", f"{each.server}/{each.tool}", f"{outcome}{reason}"])
    lines = table(["WHEN", "TOOL", "OUTCOME"], rows).splitlines()
    return f"Last calls of {agent}:\n\n" + "\n".join(f"  {line}" for line in lines)


def _choices(ticket: Ticket) -> Iterator[str]:
    verb = "  toolgate approvals"
    yield _MEANING.get(ticket.kind, _RUNS)
    yield ""
    if ticket.kind == "request":
        yield f"{verb} approve {ticket.id} --words WORDS"
    elif ticket.kind == "undo":
        yield f"{verb} approve {ticket.id}"
    else:
        yield f"{verb} approve {ticket.id} --digest {content(ticket)[:DIGITS]}"
        yield f"{verb} edit {ticket.id} NAME=TEXT NAME:=JSON"
    yield f"{verb} reject {ticket.id} --words WORDS"


def _summary(ticket: Ticket) -> str:
    """The arguments on one short line; of a request, what it says."""
    if ticket.kind == "request":
        return _cut(_value(ticket.reason), _SHORT)
    return _cut(", ".join(f"{_name(name)} {_value(value)}" for name, value in current(ticket).items()), _SHORT)


def _name(name: str) -> str:
    """A name of an argument; one that is not plain as JSON, for agents may choose it."""
    return name if _PLAIN.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    return _cut(visible(json.dumps(value, ensure_ascii=False)), _LONG)


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most - 3]}..." if most < _LONG else f"{text[:most]}... ({len(text)} characters in all)"


def _quoted(text: str) -> str:
    lines = [part for line in visible(text).split("\n") for part in wrap(line, WIDTH - 4) or [""]]
    return "\n".join(f"  > {line}" for line in lines)

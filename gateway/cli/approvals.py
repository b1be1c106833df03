"""`toolgate approvals list | show | approve | reject | edit | stats`: calls that wait for people.

Works on the state folder, without the servers' secrets; a running gateway notices a decision at once. Whoever can read
the folder can read all of it; deciding needs a reviewer's token.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select

from gateway.approvals import Ticket, Verdict
from gateway.approvals.edits import Unfit, merged
from gateway.approvals.shown import approved_by, content, current, ticket_json
from gateway.approvals.ticket import MAX_WORDS, Undecidable
from gateway.cli.argument_types import assignments
from gateway.cli.files import open_state
from gateway.cli.output import no, show_json, visible
from gateway.cli.tickets import listing, sheet, statistics, what_runs
from gateway.cli.who import reviewer
from gateway.config import Config, load_without_servers
from gateway.errors import ConfigError, Problem
from gateway.state import State
from gateway.tables import tickets
from gateway.times import lasting, moment

_MOST = 1000
_LAST_CALLS = 10
_PAST = ("call", "at", "server", "tool", "outcome", "reason")
_AMBIGUOUS = 5
_FIXES = {
    "expired": "nothing can be decided any more; its agent has to ask again",
    "requester": "have another reviewer decide",
    "tier": "have one of them decide",
    "twice": "have another reviewer approve",
    "arguments": "correct the change",
}


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    deeds: Mapping[str, Callable[[argparse.Namespace, State, Config], int]] = {
        "list": _list,
        "show": _show,
        "approve": _approve,
        "reject": _reject,
        "edit": _edit,
        "stats": _stats,
    }
    with open_state(config) as opened:
        return deeds[arguments.deed](arguments, opened, config)


def _list(arguments: argparse.Namespace, opened: State, config: Config) -> int:
    states = () if arguments.all else ("pending",)
    found = opened.approvals.find(states=states, agent=arguments.agent, limit=_MOST, soonest=not arguments.all)
    now = time.time()
    if arguments.json:
        show_json([ticket_json(ticket, now) for ticket in found])
    elif found:
        print(listing(found, now, arguments.all))
    else:
        print("There is no ticket." if arguments.all else "Nothing waits for a decision.")
    return 0


def _show(arguments: argparse.Namespace, opened: State, config: Config) -> int:
    ticket, now = _ticket(arguments, opened), time.time()
    past = opened.audit.last_calls(ticket.agent, _LAST_CALLS)
    if arguments.json:
        lately = [{**{name: getattr(each, name) for name in _PAST}, "at": moment(each.at)} for each in past]
        show_json({**ticket_json(ticket, now), "last_calls": lately})
    else:
        print(sheet(ticket, past, now))
    return 0


def _approve(arguments: argparse.Namespace, opened: State, config: Config) -> int:
    return _decide(arguments, opened, config, "approve", None)


def _reject(arguments: argparse.Namespace, opened: State, config: Config) -> int:
    if not arguments.words.strip():
        return no(arguments, "the words say nothing, and the agent reads them", "say why, and what to do instead")
    return _decide(arguments, opened, config, "reject", None)


def _edit(arguments: argparse.Namespace, opened: State, config: Config) -> int:
    """Approve with changes to the arguments as they stand, which the policy and the tool would take."""
    ticket = _ticket(arguments, opened)
    try:
        changes = assignments(arguments.changes)
    except ValueError as error:
        print(f"toolgate approvals edit: {error}", file=sys.stderr)
        return 2
    stands = current(ticket)
    if missing := [name for name in arguments.without if name not in stands]:
        return no(arguments, f"there is no argument {missing[0]} to leave out", f"see {_show_it(ticket)}")
    wanted = {name: value for name, value in {**stands, **changes}.items() if name not in arguments.without}
    try:
        edited = merged(ticket, wanted)
    except Unfit as error:
        return no(arguments, str(error).removesuffix("."), f"see {_show_it(ticket)}")
    if edited is None:
        return no(arguments, "this changes nothing", "name other values, or use toolgate approvals approve")
    from gateway.cli.edited import unfit

    if problem := unfit(ticket, edited, opened, config):
        return no(arguments, problem.removesuffix("."), "choose values that fit")
    return _decide(arguments, opened, config, "approve", edited, content(ticket))


def _stats(arguments: argparse.Namespace, opened: State, config: Config) -> int:
    since = 0.0 if arguments.since is None else time.time() - arguments.since.total_seconds()
    shares = opened.approvals.history(since)
    if arguments.json:
        names = ("server", "tool", "band", "approved", "edited", "rejected", "expired")
        waits = ("wait_p50", "wait_p90", "wait_max")
        show_json([{name: getattr(share, name) for name in (*names, *waits)} for share in shares])
    else:
        print(statistics(shares) if shares else "Nothing was decided yet.")
    return 0


def _decide(
    arguments: argparse.Namespace,
    opened: State,
    config: Config,
    verdict: Verdict,
    edited: Mapping[str, Any] | None,
    seen: str | None = None,
) -> int:
    """`seen`: the digest of the arguments that `edited` is a change of."""
    who = reviewer(arguments, opened.reviewers, config).name
    ticket = _ticket(arguments, opened)
    if len(arguments.words) > MAX_WORDS:
        return no(arguments, f"the words are longer than {MAX_WORDS} characters", "shorten them")
    meant = [start for start in (seen, getattr(arguments, "digest", None)) if start]
    said = (ticket.id, who, verdict, arguments.words.strip(), edited, meant)
    try:
        decided = opened.store.run(lambda connection: opened.approvals.decide(connection, *said))
    except Undecidable as error:
        return no(arguments, str(error), _FIXES.get(error.reason, f"see {_show_it(ticket)}"))
    print(_told(decided, who, verdict))
    return 0


def _told(ticket: Ticket, who: str, verdict: Verdict) -> str:
    target = f"{ticket.agent} may call {ticket.server}/{ticket.tool}"
    if verdict == "reject" and ticket.kind == "undo":
        return f"Ticket {ticket.id} is rejected by {who}: the step stays as it is, to be set right by hand."
    if verdict == "reject":
        return f"Ticket {ticket.id} is rejected by {who}. Nothing is run, and the agent is told your words."
    if ticket.kind == "request":
        return f"Ticket {ticket.id} is answered by {who}."
    if ticket.kind == "undo":
        return f"Ticket {ticket.id} is approved by {who}: a running gateway tries to undo it again."
    runs = f":\n\n{what_runs(ticket)}" if current(ticket) else "."
    if ticket.state == "pending":
        so_far = f"{len(approved_by(ticket))} of {ticket.approvers} reviewers have approved, so it still waits"
        return f"Ticket {ticket.id}: {so_far}. Then {target}{runs}"
    left = lasting(ticket.expires - time.time())
    return f"Ticket {ticket.id} is approved by {who}. Once, within {left}, {target}{runs}"


def _ticket(arguments: argparse.Namespace, opened: State) -> Ticket:
    """The one whose id begins as given. Raises ConfigError when there is none, or more than one."""
    start = arguments.ticket
    begins = select(tickets.c.id).where(tickets.c.id.startswith(start, autoescape=True)).order_by(tickets.c.id)
    found = [row.id for row in opened.store.read(begins.limit(_AMBIGUOUS))]
    exact = start if start in found else found[0] if len(found) == 1 and start else None
    ticket = None if exact is None else opened.approvals.get(exact)
    if ticket is not None:
        return ticket
    what = f"toolgate approvals {arguments.deed}"
    if not found or not start:
        raise ConfigError(
            [Problem(what, visible(start)[:80], "there is no such ticket", "see toolgate approvals list --all")]
        )
    several = f"the ids of several tickets begin so: {', '.join(found)}"
    raise ConfigError([Problem(what, start, several, "give more of the id")])


def _show_it(ticket: Ticket) -> str:
    return f"toolgate approvals show {ticket.id}"

"""Verbs about what agents do: calls that wait for people, and runs."""

from __future__ import annotations

import argparse

from gateway.cli.argument_types import span
from gateway.cli.verbs.given import Given


def approvals(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="list|show|approve|reject|edit|stats")
    listed = deeds.add_parser("list", parents=[given.common, given.json], help="list what waits for a decision")
    listed.add_argument("--all", action="store_true", help="also what is decided, used or expired")
    listed.add_argument("--agent", help="of this agent only")

    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("ticket", metavar="TICKET", help="its id, or the beginning of it")
    deeds.add_parser("show", parents=[given.common, given.json, one], help="tell all there is to know before deciding")

    seen = argparse.ArgumentParser(add_help=False)
    seen.add_argument("--digest", metavar="START", help="only the arguments whose digest starts so, as show tells it")
    parents = [given.common, given.deciding, one]
    approve = deeds.add_parser("approve", parents=[*parents, seen], help="let the call run, once")
    approve.add_argument("--words", metavar="WORDS", default="", help="why: the agent reads it, and it is kept")
    edit = deeds.add_parser("edit", parents=[*parents, seen], help="let the call run with other arguments")
    edit.add_argument("changes", metavar="CHANGE", nargs="*", help="NAME=TEXT, or NAME:=JSON for anything else")
    about = "leave this argument out; repeatable"
    edit.add_argument("--without", metavar="NAME", action="append", default=[], help=about)
    edit.add_argument("--words", metavar="WORDS", default="", help="why: the agent reads it, and it is kept")
    reject = deeds.add_parser("reject", parents=parents, help="refuse the call")
    reject.add_argument(
        "--words", metavar="WORDS", required=True, help="why, and what to do instead: the agent reads it"
    )

    stats = deeds.add_parser(
        "stats", parents=[given.common, given.json], help="tell how gates were decided, and how fast"
    )
    stats.add_argument("--since", type=span, metavar="SPAN", help="of this time only, such as 7d")


def runs(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="list|show|rollback|unknown|settle")
    listed = deeds.add_parser(
        "list", parents=[given.common, given.json], help="list runs and what can be undone of them"
    )
    states = ("active", "finished", "rolling_back", "rolled_back")
    listed.add_argument("--state", choices=states, help="runs in this state only")
    show = deeds.add_parser("show", parents=[given.common, given.json], help="tell what happened in a run, and why")
    show.add_argument("run", metavar="RUN", help="the id that the agent gave it")
    show.add_argument("--agent", metavar="AGENT", help="whose run, when several agents have one of this name")
    rollback = deeds.add_parser(
        "rollback", parents=[given.common], help="have everything undone that was done in a run"
    )
    rollback.add_argument("run", metavar="RUN", help="as shown by: toolgate runs list")
    rollback.add_argument("--agent", metavar="AGENT", help="whose run, when several agents have one of this name")
    deeds.add_parser(
        "unknown", parents=[given.common, given.json], help="list calls of which nobody knows whether they ran"
    )
    settle = deeds.add_parser(
        "settle", parents=[given.common, given.deciding], help="say what became of such a call; takes a reviewer"
    )
    settle.add_argument("call", metavar="CALL", help="as shown by: toolgate runs unknown")
    settle.add_argument("verdict", choices=("happened", "did-not"), help="whether it took effect")
    settle.add_argument("--words", required=True, metavar="WORDS", help="how that is known")

"""Verbs about the log of events."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.cli.argument_types import count, instant
from gateway.cli.verbs.given import Given


def audit(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="verify|tail|show|search|export|key|rotate")
    parents = [given.common, given.json]

    verify = deeds.add_parser("verify", parents=parents, help="prove that the log is what was written")
    about = "compare with these checkpoints: a file, or an address that serves it; repeatable, in order"
    verify.add_argument("--checkpoint", action="append", default=[], metavar="FILE|URL", help=about)
    about = "trust the public keys in this file (default: audit.pub of the state folder)"
    verify.add_argument("--key", type=Path, metavar="FILE", help=about)
    about = "where archived events are (default: as configured)"
    verify.add_argument("--archive", type=Path, metavar="FOLDER", help=about)
    about = "prove an export instead of the store, - for standard input; needs no configuration with --key"
    verify.add_argument("--export", metavar="FILE", help=about)

    tail = deeds.add_parser("tail", parents=[*parents, _wanted()], help="show the last events")
    tail.add_argument("-f", "--follow", action="store_true", help="go on with new ones until interrupted")
    tail.add_argument("--limit", type=count, default=20, metavar="N", help="so many (default: 20)")

    show = deeds.add_parser("show", parents=parents, help="tell all of one event, or of one call")
    show.add_argument("which", metavar="EVENT|CALL", help="CHAIN/N or the number of an event, or the id of a call")

    search = deeds.add_parser("search", parents=[*parents, _wanted()], help="find events, the newest first")
    search.add_argument("--limit", type=count, default=100, metavar="N", help="at most so many (default: 100)")

    export = deeds.add_parser("export", parents=[given.common, _wanted()], help="write events as JSON Lines")
    export.add_argument("file", nargs="?", default="-", metavar="FILE", help="a new file (default: standard output)")

    deeds.add_parser("key", parents=parents, help="show the public keys that sign checkpoints")
    rotate = deeds.add_parser("rotate", parents=parents, help="have a new key sign checkpoints from now on")
    rotate.add_argument("--by", metavar="NAME", help="who does it, for the log (default: the user logged in)")


def _wanted() -> argparse.ArgumentParser:
    """Which events; those that are all of what is given."""
    wanted = argparse.ArgumentParser(add_help=False)
    for name, what in (("agent", "of this agent"), ("run", "of this run"), ("call", "of this call")):
        wanted.add_argument(f"--{name}", metavar=name.upper(), help=what)
    wanted.add_argument("--tool", metavar="TOOL", help="of this tool: SERVER/TOOL, or its name on any server")
    wanted.add_argument("--kind", metavar="KIND", help="of this kind, such as refusal")
    wanted.add_argument("--reason", metavar="REASON", help="with this reason")
    about = "from then on: a time such as 2026-03-01T14:00 (UTC without a zone), or so long ago, such as 2h"
    wanted.add_argument("--since", type=instant, metavar="TIME|SPAN", help=about)
    wanted.add_argument("--until", type=instant, metavar="TIME|SPAN", help="before then")
    return wanted

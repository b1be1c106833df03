"""Verbs about who may do what: tokens, reviewers, policies, pins and the read-only switch."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.cli.argument_types import claim, span
from gateway.cli.verbs.given import Given


def token(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="create|list|revoke")
    create = deeds.add_parser("create", parents=[given.common, given.json], help="make a token and show it once")
    create.add_argument("agent", metavar="AGENT", help="an agent that has a policy file")
    create.add_argument("--expires", type=span, metavar="SPAN", help="valid for this long, such as 12h or 30d")
    about = "fill this in where the policy binds claims.NAME; NAME:=JSON for a number or boolean; repeatable"
    create.add_argument("--claim", type=claim, action="append", default=[], metavar="NAME=VALUE", help=about)
    create.add_argument("--url", help="address of the gateway as clients see it, when it differs")
    deeds.add_parser("list", parents=[given.common, given.json], help="list tokens; never the tokens themselves")
    revoke = deeds.add_parser("revoke", parents=[given.common], help="make a token void, for good")
    revoke.add_argument("id", metavar="ID", help="as shown by: toolgate token list")


def reviewer(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="create|list|revoke")
    create = deeds.add_parser("create", parents=[given.common, given.json], help="make a token and show it once")
    create.add_argument("name", metavar="NAME", help="who decides; no agent's name")
    create.add_argument("--expires", type=span, metavar="SPAN", help="valid for this long, such as 12h or 30d")
    deeds.add_parser("list", parents=[given.common, given.json], help="list tokens; never the tokens themselves")
    revoke = deeds.add_parser("revoke", parents=[given.common], help="make a token void, for good")
    revoke.add_argument("id", metavar="ID", help="as shown by: toolgate reviewer list")


def policy(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="test|explain|matrix|diff|replay|export")
    connecting = argparse.ArgumentParser(add_help=False)
    connecting.add_argument("--connect", action="store_true", help="also ask every server for its tools")

    test = deeds.add_parser("test", parents=[given.common, given.json], help="try the tests in tests.toml")
    test.add_argument("--strict", action="store_true", help="fail too when a rule or an agent is not tested")

    explain = deeds.add_parser(
        "explain", parents=[given.common, given.json], help="tell why a call is allowed or denied"
    )
    explain.add_argument("agent", metavar="AGENT", help="an agent that has a policy file")
    explain.add_argument("target", metavar="TOOL", help="server/tool, or server__tool as agents see it")
    about = "a JSON object, or NAME=TEXT and NAME:=JSON for each argument"
    explain.add_argument("arguments", metavar="ARGUMENT", nargs="*", help=about)
    about = "read (TOOL is server/URI) or get (TOOL is server/prompt), instead of call"
    explain.add_argument("--action", choices=("call", "read", "get"), default="call", help=about)

    matrix = deeds.add_parser("matrix", parents=[given.common, given.json, connecting], help="show who may call what")
    matrix.add_argument("--html", type=Path, metavar="FILE", help="write a page instead")

    diff = deeds.add_parser(
        "diff", parents=[given.common, given.json, connecting], help="tell every decision that changes"
    )
    diff.add_argument("old", type=Path, metavar="OLD", help="a policy folder")
    diff.add_argument("new", type=Path, metavar="NEW", help="a policy folder")

    replay = deeds.add_parser(
        "replay", parents=[given.common, given.json], help="decide recorded calls by another policy"
    )
    replay.add_argument("candidate", type=Path, metavar="CANDIDATE", help="a policy folder")
    replay.add_argument("--since", type=span, metavar="SPAN", help="calls of this time only, such as 7d")
    replay.add_argument("--agent", metavar="AGENT", help="calls of this agent only")
    about = "exit with 1 when the candidate changes decisions so; repeatable"
    changes = ("refused", "allowed", "gated", "ungated")
    replay.add_argument("--fail-on", choices=changes, action="append", default=[], help=about)

    export = deeds.add_parser("export", parents=[given.common], help="write model and rules for Casbin's own tools")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="where to write model.conf and policy.csv")


def pins(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="show|diff|accept")
    show = deeds.add_parser(
        "show", parents=[given.common, given.json], help="list every tool's pin and what is withheld"
    )
    show.add_argument("server", nargs="?", metavar="SERVER", help="its tools only")
    diff = deeds.add_parser("diff", parents=[given.common], help="compare what is withheld with what was accepted")
    diff.add_argument("tool", nargs="?", metavar="SERVER/TOOL", help="this tool only")
    accept = deeds.add_parser("accept", parents=[given.common], help="offer tools as they are now")
    which = accept.add_mutually_exclusive_group(required=True)
    which.add_argument("tool", nargs="?", metavar="SERVER/TOOL", help="a tool, or SERVER for all of its tools")
    which.add_argument("--all", action="store_true", help="everything that is withheld")
    accept.add_argument("--digest", metavar="START", help="only the definition whose digest starts so")


def read_only(verb: argparse.ArgumentParser, given: Given) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="on|off|show")
    switching = argparse.ArgumentParser(add_help=False)
    switching.add_argument(
        "agent", nargs="?", default="", metavar="AGENT", help="an agent (default: the whole gateway)"
    )
    switching.add_argument("--by", metavar="NAME", help="who does it, for the audit log (default: the user logged in)")
    deeds.add_parser(
        "on", parents=[given.common, switching], help="refuse calls of tools that are not declared read-only"
    )
    deeds.add_parser("off", parents=[given.common, switching], help="let all tools run again")
    deeds.add_parser("show", parents=[given.common, given.json], help="tell for whom it is on")

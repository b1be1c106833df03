"""What the command line looks like: every verb and what it takes. Nothing heavy is imported to know it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from gateway.cli.argument_types import claim, port, span


def parser() -> argparse.ArgumentParser:
    """The whole command line: `verb` names it, `deed` what a verb of several does."""
    root = argparse.ArgumentParser("toolgate", description="An MCP gateway that enforces policy.")
    root.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")

    common = argparse.ArgumentParser(add_help=False)
    default = os.environ.get("TOOLGATE_CONFIG") or "gateway.toml"
    about = "configuration file (default: $TOOLGATE_CONFIG, else gateway.toml)"
    common.add_argument("--config", type=Path, default=Path(default), metavar="PATH", help=about)
    json = argparse.ArgumentParser(add_help=False)
    json.add_argument("--json", action="store_true", help="print JSON")
    deciding = argparse.ArgumentParser(add_help=False)
    about = "file with a reviewer's token, - for standard input (default: $TOOLGATE_REVIEWER_TOKEN)"
    deciding.add_argument("--token-file", type=Path, metavar="FILE", help=about)

    serve = verbs.add_parser("serve", parents=[common], help="run the gateway")
    serve.add_argument("--host", help="address to listen on, instead of the configured one")
    serve.add_argument("--port", type=port, help="port to listen on, instead of the configured one; 0: any")

    check = verbs.add_parser("check", parents=[common], help="check configuration and policies")
    check.add_argument("--connect", action="store_true", help="also connect to every server")

    tools = verbs.add_parser("tools", parents=[common, json], help="list the tools of all servers")
    tools.add_argument("--agent", help="also tell what this agent may call")

    _token(verbs.add_parser("token", help="create, list and revoke tokens of agents"), common, json)
    _policy(verbs.add_parser("policy", help="test, explain, show, compare and export policies"), common, json)
    _pins(verbs.add_parser("pins", help="show, compare and accept the definitions of tools"), common, json)
    _reviewer(verbs.add_parser("reviewer", help="create, list and revoke tokens of reviewers"), common, json)
    about = "list, show and decide on calls that wait for people"
    _approvals(verbs.add_parser("approvals", help=about), common, json, deciding)
    _read_only(verbs.add_parser("read-only", help="let only tools run that change nothing"), common, json)
    about = "show runs of agents, undo them, settle unknown outcomes"
    _runs(verbs.add_parser("runs", help=about), common, json, deciding)
    return root


def _token(token: argparse.ArgumentParser, common: argparse.ArgumentParser, json: argparse.ArgumentParser) -> None:
    deeds = token.add_subparsers(dest="deed", required=True, metavar="create|list|revoke")
    create = deeds.add_parser("create", parents=[common, json], help="make a token and show it once")
    create.add_argument("agent", metavar="AGENT", help="an agent that has a policy file")
    create.add_argument("--expires", type=span, metavar="SPAN", help="valid for this long, such as 12h or 30d")
    about = "fill this in where the policy binds claims.NAME; NAME:=JSON for a number or boolean; repeatable"
    create.add_argument("--claim", type=claim, action="append", default=[], metavar="NAME=VALUE", help=about)
    create.add_argument("--url", help="address of the gateway as clients see it, when it differs")
    deeds.add_parser("list", parents=[common, json], help="list tokens; never the tokens themselves")
    revoke = deeds.add_parser("revoke", parents=[common], help="make a token void, for good")
    revoke.add_argument("id", metavar="ID", help="as shown by: toolgate token list")


def _policy(policy: argparse.ArgumentParser, common: argparse.ArgumentParser, json: argparse.ArgumentParser) -> None:
    deeds = policy.add_subparsers(dest="deed", required=True, metavar="test|explain|matrix|diff|export")
    connecting = argparse.ArgumentParser(add_help=False)
    connecting.add_argument("--connect", action="store_true", help="also ask every server for its tools")

    test = deeds.add_parser("test", parents=[common, json], help="try the tests in tests.toml")
    test.add_argument("--strict", action="store_true", help="fail too when a rule or an agent is not tested")

    explain = deeds.add_parser("explain", parents=[common, json], help="tell why a call is allowed or denied")
    explain.add_argument("agent", metavar="AGENT", help="an agent that has a policy file")
    explain.add_argument("target", metavar="TOOL", help="server/tool, or server__tool as agents see it")
    about = "a JSON object, or NAME=TEXT and NAME:=JSON for each argument"
    explain.add_argument("arguments", metavar="ARGUMENT", nargs="*", help=about)
    about = "read (TOOL is server/URI) or get (TOOL is server/prompt), instead of call"
    explain.add_argument("--action", choices=("call", "read", "get"), default="call", help=about)

    matrix = deeds.add_parser("matrix", parents=[common, json, connecting], help="show who may call what")
    matrix.add_argument("--html", type=Path, metavar="FILE", help="write a page instead")

    diff = deeds.add_parser("diff", parents=[common, json, connecting], help="tell every decision that changes")
    diff.add_argument("old", type=Path, metavar="OLD", help="a policy folder")
    diff.add_argument("new", type=Path, metavar="NEW", help="a policy folder")

    export = deeds.add_parser("export", parents=[common], help="write model and rules for Casbin's own tools")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="where to write model.conf and policy.csv")


def _pins(verb: argparse.ArgumentParser, common: argparse.ArgumentParser, shape: argparse.ArgumentParser) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="show|diff|accept")
    show = deeds.add_parser("show", parents=[common, shape], help="list every tool's pin and what is withheld")
    show.add_argument("server", nargs="?", metavar="SERVER", help="its tools only")
    diff = deeds.add_parser("diff", parents=[common], help="compare what is withheld with what was accepted")
    diff.add_argument("tool", nargs="?", metavar="SERVER/TOOL", help="this tool only")
    accept = deeds.add_parser("accept", parents=[common], help="offer tools as they are now")
    which = accept.add_mutually_exclusive_group(required=True)
    which.add_argument("tool", nargs="?", metavar="SERVER/TOOL", help="a tool, or SERVER for all of its tools")
    which.add_argument("--all", action="store_true", help="everything that is withheld")
    accept.add_argument("--digest", metavar="START", help="only the definition whose digest starts so")


def _reviewer(verb: argparse.ArgumentParser, common: argparse.ArgumentParser, json: argparse.ArgumentParser) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="create|list|revoke")
    create = deeds.add_parser("create", parents=[common, json], help="make a token and show it once")
    create.add_argument("name", metavar="NAME", help="who decides; no agent's name")
    create.add_argument("--expires", type=span, metavar="SPAN", help="valid for this long, such as 12h or 30d")
    deeds.add_parser("list", parents=[common, json], help="list tokens; never the tokens themselves")
    revoke = deeds.add_parser("revoke", parents=[common], help="make a token void, for good")
    revoke.add_argument("id", metavar="ID", help="as shown by: toolgate reviewer list")


def _approvals(
    verb: argparse.ArgumentParser,
    common: argparse.ArgumentParser,
    json: argparse.ArgumentParser,
    deciding: argparse.ArgumentParser,
) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="list|show|approve|reject|edit|stats")
    listed = deeds.add_parser("list", parents=[common, json], help="list what waits for a decision")
    listed.add_argument("--all", action="store_true", help="also what is decided, used or expired")
    listed.add_argument("--agent", help="of this agent only")

    one = argparse.ArgumentParser(add_help=False)
    one.add_argument("ticket", metavar="TICKET", help="its id, or the beginning of it")
    deeds.add_parser("show", parents=[common, json, one], help="tell all there is to know before deciding")

    seen = argparse.ArgumentParser(add_help=False)
    seen.add_argument("--digest", metavar="START", help="only the arguments whose digest starts so, as show tells it")
    parents = [common, deciding, one]
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

    stats = deeds.add_parser("stats", parents=[common, json], help="tell how gates were decided, and how fast")
    stats.add_argument("--since", type=span, metavar="SPAN", help="of this time only, such as 7d")


def _read_only(verb: argparse.ArgumentParser, common: argparse.ArgumentParser, json: argparse.ArgumentParser) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="on|off|show")
    switching = argparse.ArgumentParser(add_help=False)
    switching.add_argument(
        "agent", nargs="?", default="", metavar="AGENT", help="an agent (default: the whole gateway)"
    )
    switching.add_argument("--by", metavar="NAME", help="who does it, for the audit log (default: the user logged in)")
    deeds.add_parser("on", parents=[common, switching], help="refuse calls of tools that are not declared read-only")
    deeds.add_parser("off", parents=[common, switching], help="let all tools run again")
    deeds.add_parser("show", parents=[common, json], help="tell for whom it is on")


def _runs(
    verb: argparse.ArgumentParser,
    common: argparse.ArgumentParser,
    shape: argparse.ArgumentParser,
    deciding: argparse.ArgumentParser,
) -> None:
    deeds = verb.add_subparsers(dest="deed", required=True, metavar="list|rollback|unknown|settle")
    listed = deeds.add_parser("list", parents=[common, shape], help="list runs and what can be undone of them")
    states = ("active", "finished", "rolling_back", "rolled_back")
    listed.add_argument("--state", choices=states, help="runs in this state only")
    rollback = deeds.add_parser("rollback", parents=[common], help="have everything undone that was done in a run")
    rollback.add_argument("run", metavar="RUN", help="as shown by: toolgate runs list")
    rollback.add_argument("--agent", metavar="AGENT", help="whose run, when several agents have one of this name")
    deeds.add_parser("unknown", parents=[common, shape], help="list calls of which nobody knows whether they ran")
    settle = deeds.add_parser(
        "settle", parents=[common, deciding], help="say what became of such a call; takes a reviewer"
    )
    settle.add_argument("call", metavar="CALL", help="as shown by: toolgate runs unknown")
    settle.add_argument("verdict", choices=("happened", "did-not"), help="whether it took effect")
    settle.add_argument("--words", required=True, metavar="WORDS", help="how that is known")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print("toolgate", version("toolgate"))
        parser.exit()

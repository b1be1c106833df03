"""What the command line looks like: every verb and what it takes. Nothing heavy is imported to know it."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.cli.argument_types import port
from gateway.cli.verbs import access, evidence, work
from gateway.cli.verbs.given import Given


def parser() -> argparse.ArgumentParser:
    """The whole command line: `verb` names it, `deed` what a verb of several does."""
    root = argparse.ArgumentParser("toolgate", description="An MCP gateway that enforces policy.")
    root.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = root.add_subparsers(dest="verb", required=True, metavar="VERB")
    given = Given.new()

    serve = verbs.add_parser("serve", parents=[given.common], help="run the gateway")
    serve.add_argument("--host", help="address to listen on, instead of the configured one")
    serve.add_argument("--port", type=port, help="port to listen on, instead of the configured one; 0: any")

    check = verbs.add_parser("check", parents=[given.common], help="check configuration and policies")
    check.add_argument("--connect", action="store_true", help="also connect to every server")

    tools = verbs.add_parser("tools", parents=[given.common, given.json], help="list the tools of all servers")
    tools.add_argument("--agent", help="also tell what this agent may call")

    access.token(verbs.add_parser("token", help="create, list and revoke tokens of agents"), given)
    access.policy(verbs.add_parser("policy", help="test, explain, show, compare and export policies"), given)
    access.pins(verbs.add_parser("pins", help="show, compare and accept the definitions of tools"), given)
    access.reviewer(verbs.add_parser("reviewer", help="create, list and revoke tokens of reviewers"), given)
    work.approvals(verbs.add_parser("approvals", help="list, show and decide on calls that wait for people"), given)
    access.read_only(verbs.add_parser("read-only", help="let only tools run that change nothing"), given)
    shown = verbs.add_parser("dashboards", help="write dashboards and alert rules for the metrics")
    deeds = shown.add_subparsers(dest="deed", required=True, metavar="export")
    export = deeds.add_parser("export", help="write Grafana dashboards and Prometheus alert rules into a folder")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="made when it is not there")
    work.runs(verbs.add_parser("runs", help="show runs of agents, undo them, settle unknown outcomes"), given)
    evidence.audit(verbs.add_parser("audit", help="prove, follow, search and export the log of events"), given)
    about = "list the gateways that share the database"
    verbs.add_parser("replicas", parents=[given.common, given.json], help=about)
    return root


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print("toolgate", version("toolgate"))
        parser.exit()

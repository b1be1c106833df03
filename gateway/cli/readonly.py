"""`toolgate read-only on | off | show`: while it is on, only tools declared read-only run.

Needs no policy that loads and no server's secret: it is for when something is wrong.
"""

from __future__ import annotations

import argparse
import os

from gateway.cli.files import open_state
from gateway.cli.output import show_json, table
from gateway.cli.who import user
from gateway.config import Config, load_without_servers
from gateway.config_checks import nearest
from gateway.errors import ConfigError, Problem
from gateway.modes import Modes
from gateway.policy import agents_in
from gateway.times import moment

_WHOLE = "the whole gateway"
_MOST = 64
"""Characters of a name that the table takes."""


def run(arguments: argparse.Namespace) -> int:
    config = load_without_servers(arguments.config, os.environ)
    with open_state(config) as state:
        if arguments.deed == "show":
            return _show(arguments, state.modes)
        return _switch(arguments, state.modes, config)


def _show(arguments: argparse.Namespace, modes: Modes) -> int:
    switches = modes.listed()
    if arguments.json:
        show_json([{"agent": each.agent or None, "by": each.by, "since": moment(each.at)} for each in switches])
    elif switches:
        rows = [(each.agent or _WHOLE, moment(each.at) or "", each.by) for each in switches]
        print(table(("READ-ONLY", "SINCE", "BY"), rows))
    else:
        print("Read-only mode is off.")
    return 0


def _switch(arguments: argparse.Namespace, modes: Modes, config: Config) -> int:
    agent, on = arguments.agent, arguments.deed == "on"
    known = agents_in(config.policies_dir)
    if on and agent and agent not in known:
        message = f"no agent of this name has a policy file{nearest(agent, known)}"
        fix = f"name one of: {', '.join(sorted(known)) or 'none yet'}; without a name it is the whole gateway"
        raise ConfigError([Problem("toolgate read-only on", agent, message, fix)])
    changed = modes.switch(agent, on, (arguments.by or user())[:_MOST])
    name, so = agent or _WHOLE, arguments.deed
    if not changed:
        print(f"Read-only mode was {so} already for {name}.")
    else:
        print(f"Read-only mode is {so} for {name}. A running gateway notices within a second.")
    others = [each.agent or _WHOLE for each in modes.listed() if each.agent in ("", agent)]
    if not on and others:
        print(f"It is still on for {others[0]}, and so for every agent.")
    return 0

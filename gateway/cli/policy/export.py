"""`toolgate policy export`: model and rules as files that Casbin's own tools load."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gateway.cli.policy.opened import opened
from gateway.errors import ConfigError, Problem
from gateway.policy.export import MODEL, export


def run(arguments: argparse.Namespace) -> int:
    at = opened(arguments.config)
    folder: Path = arguments.folder
    if folder.resolve().is_relative_to(at.folder.resolve()):
        fix = "name a folder outside of it"
        raise ConfigError([Problem(str(folder), "FOLDER", "lies in the policy folder, whose model it replaces", fix)])
    made = export(at.policy)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.conf").write_text(MODEL, encoding="utf-8")
    (folder / "policy.csv").write_text(made.csv, encoding="utf-8")
    for rule in made.left_out:
        print(f"left out: {rule.place}: {rule.id} is in shadow, which Casbin does not know", file=sys.stderr)
    print(f"{folder / 'model.conf'}\n{folder / 'policy.csv'}")
    return 0

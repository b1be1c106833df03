"""`toolgate dashboards export`: Grafana dashboards and Prometheus alert rules, as files."""

from __future__ import annotations

import argparse
from importlib.resources import files
from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    for shipped in sorted(files("gateway").joinpath("dashboards").iterdir(), key=lambda each: each.name):
        written = folder / shipped.name
        written.write_bytes(shipped.read_bytes())
        print(written)
    return 0

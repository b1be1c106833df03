"""What several verbs take."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple


class Given(NamedTuple):
    """Parsers to be the parents of others: `common` is for every verb, `deciding` for what takes a reviewer."""

    common: argparse.ArgumentParser
    json: argparse.ArgumentParser
    deciding: argparse.ArgumentParser

    @classmethod
    def new(cls) -> Given:
        given = cls(*(argparse.ArgumentParser(add_help=False) for _ in range(3)))
        default = os.environ.get("TOOLGATE_CONFIG") or "gateway.toml"
        about = "configuration file (default: $TOOLGATE_CONFIG, else gateway.toml)"
        given.common.add_argument("--config", type=Path, default=Path(default), metavar="PATH", help=about)
        given.json.add_argument("--json", action="store_true", help="print JSON")
        about = "file with a reviewer's token, - for standard input (default: $TOOLGATE_REVIEWER_TOKEN)"
        given.deciding.add_argument("--token-file", type=Path, metavar="FILE", help=about)
        return given

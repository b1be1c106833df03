"""The command `toolgate`: one verb a module, imported when it is asked for, so that `--help` is quick.

Exit status: 0 done, 1 problems found or not done, 2 wrong usage. Errors go to stderr, one a line.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from gateway.cli.verbs import parser
from gateway.errors import ConfigError

__all__ = ["main", "parser"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; its exit status. Wrong usage leaves by SystemExit(2), as argparse does."""
    arguments = parser().parse_args(argv)
    try:
        status: int = import_module(f"gateway.cli.{arguments.verb.replace('-', '')}").run(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            print(" ".join(str(problem).split()), file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"toolgate {arguments.verb}: {where}{error.strerror or type(error).__name__}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status

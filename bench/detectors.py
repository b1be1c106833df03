"""How well the checks of arguments tell attacks from what people write, and how long they take.

`python bench/detectors.py FOLDER`, or with the environment variable TOOLGATE_CORPORA. The folder holds files of one
JSON object a line, `{id, text, ...}`; `jsontestsuite.jsonl` has `{id, base64}`.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gateway.facts import Argument
from gateway.rules import compile_rules
from gateway.rules.signals import signals
from gateway.strict import parse_exactly

KINDS = {
    "text": Argument(),
    "url": Argument(kind="url", schemes=("https", "http", "ftp")),  # the benign ones are homepages, one by ftp
    "path": Argument(kind="path"),
    "sql": Argument(kind="sql", dialect="sqlite"),
}
RULES = compile_rules(KINDS)
CORPORA = {
    "text": ("benign_*", "blns"),
    "url": ("ssrf", "benign_urls"),
    "path": ("path_traversal", "benign_paths"),
}
_VERB = re.compile(
    r"\b(?:select|with|insert|update|delete|create|drop|alter|replace|pragma|attach|detach|vacuum|explain|begin|reindex)"
    r"\b",
    re.IGNORECASE,
)
_END = re.compile(r"[\"`;<]|'(?=[\s,)\]}])|\n|\)\s|\Z")
_ENDS = 14
"""Places at which a statement in prose may end that are looked at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how many of `total` were refused; microseconds of one check."""

    kind: str
    corpus: str
    refused: int
    total: int
    median: float
    p99: float
    left: tuple[str, ...]
    """Ids of the lesser part: those refused, or those passed."""


def measure(kind: str, corpus: str, texts: Iterable[tuple[str, Any]], check: Callable[[Any], Any]) -> Row:
    """`check` over (id, value) pairs; it refuses with ValueError."""
    refused, passed, seconds = [], [], []
    for identity, value in texts:
        started = time.perf_counter()
        try:
            check(value)
            passed.append(identity)
        except ValueError:
            refused.append(identity)
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    p99 = seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]
    left = min(refused, passed, key=len)
    total = len(seconds)
    return Row(kind, corpus, len(refused), total, seconds[total // 2] * 1e6, p99 * 1e6, tuple(left))


def table(folder: Path) -> Iterator[Row]:
    """Every measurement there is a corpus for."""
    for kind, patterns in CORPORA.items():
        for path in [path for pattern in patterns for path in sorted(folder.glob(f"{pattern}.jsonl"))]:
            yield measure(kind, path.stem, texts(path), RULES[kind])
    selects, others = statements(folder / "benign_docs_sql.jsonl")
    RULES["sql"]("select 1")  # loads the parser
    yield measure("sql", "SELECTs in benign_docs_sql", selects, RULES["sql"])
    yield measure("sql", "other statements in benign_docs_sql", others, RULES["sql"])
    cases = [*json_cases(folder / "jsontestsuite.jsonl")]
    for letter, meaning in (("n", "must be refused"), ("y", "must be taken"), ("i", "either")):
        chosen = [case for case in cases if case[0].startswith(f"{letter}_")]
        yield measure("json", f"jsontestsuite {letter}_ ({meaning})", chosen, parse_exactly)
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem != "jsontestsuite":
            yield measure("signals", path.stem, texts(path), _no_signal)


def texts(path: Path) -> Iterator[tuple[str, str]]:
    for line in path.read_text().splitlines():
        row = json.loads(line)
        yield row["id"], row["text"]


def json_cases(path: Path) -> Iterator[tuple[str, bytes]]:
    for line in path.read_text().splitlines():
        row = json.loads(line)
        yield row["id"], base64.b64decode(row["base64"])


def statements(path: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The SELECTs and the other statements that stand in a corpus of prose. SQLite itself says what is one.

    Statements with parameters are left out: a tool call has no values for them.
    """
    database = sqlite3.connect(":memory:")
    selects, others = {}, {}
    for identity, text in texts(path):
        for start in _VERB.finditer(text):
            ends = [end.start() for end in _END.finditer(text, start.end())][:_ENDS]
            pieces = [text[start.start() : end].strip() for end in ends]
            found = next((piece for piece in reversed(pieces) if _is_statement(database, piece)), None)
            if found is not None:
                first = found.split()[0].lower()
                reads = first == "select" or (first == "with" and not re.search(r"\)\s*(insert|update|delete)", found))
                (selects if reads else others)[found] = identity
    return [(identity, text) for text, identity in selects.items()], [(i, text) for text, i in others.items()]


def _is_statement(database: sqlite3.Connection, text: str) -> bool:
    if " " not in text or ";" in text or re.search(r"\?|[:@$]\w", text):
        return False
    try:
        database.execute(f"EXPLAIN {text}")
    except sqlite3.OperationalError as error:
        return not re.search("syntax error|incomplete|unrecognized", str(error))
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return False
    return True


def _no_signal(text: str) -> None:
    if found := signals(text):
        raise ValueError(", ".join(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=os.environ.get("TOOLGATE_CORPORA"))
    parser.add_argument("--json", action="store_true", help="one object a line, with the ids of the lesser part")
    args = parser.parse_args()
    if args.folder is None or not Path(args.folder).is_dir():
        print("There is no folder of corpora: name it, or set TOOLGATE_CORPORA.", file=sys.stderr)
        return 2
    if not args.json:
        print(f"{'kind':8} {'corpus':44} {'refused':>8} {'of':>6} {'share':>8} {'median us':>10} {'p99 us':>9}")
    for row in table(Path(args.folder)):
        if args.json:
            print(json.dumps(asdict(row)))
        else:
            share = f"{row.refused / row.total:8.2%}"
            print(
                f"{row.kind:8} {row.corpus:44} {row.refused:8} {row.total:6} {share} {row.median:10.1f} {row.p99:9.1f}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs the conformance suite against a server and reads what it found."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node_programs import CONFORMANCE, NODE
from processes import finish

SUITE_TIMEOUT = 80.0
"""Seconds for all scenarios of one revision; it takes about three."""
_HEADERS = Path(__file__).parent / "suite_headers.cjs"
_RESULT = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


@dataclass(frozen=True, slots=True)
class Check:
    """What the suite found: SUCCESS, FAILURE, WARNING, SKIPPED or INFO, and why."""

    status: str
    message: str = ""


def run(url: str, revision: str, results: Path, headers: Mapping[str, str] | None = None) -> dict[str, Check]:
    """Every check of every scenario that applies to this revision of the protocol.

    Keys are `scenario/check`, with `#2` and so on where a scenario makes the same check again. `results` is
    an empty folder for the suite's own files; `headers` go with every request. Raises RuntimeError when the
    suite leaves no results.
    """
    command = [NODE, "--require", str(_HEADERS), *CONFORMANCE[1:], "server", "--url", url]
    command += ["--suite", "all", "--spec-version", revision, "--output-dir", str(results)]
    environ = {**os.environ, "SUITE_HEADERS": json.dumps(dict(headers or {}))}
    ran = finish(command, SUITE_TIMEOUT, environ)
    found: dict[str, Check] = {}
    for file in sorted(results.glob("*/checks.json")):
        found |= _read(file)
    if not found:
        raise RuntimeError(f"the conformance suite left no results:\n{ran.stdout}{ran.stderr}")
    return found


def _read(file: Path) -> dict[str, Check]:
    match = _RESULT.fullmatch(file.parent.name)
    if match is None:
        raise RuntimeError(f"{file.parent.name} does not look like a result of the conformance suite")
    times: Counter[str] = Counter()
    checks: dict[str, Check] = {}
    for entry in json.loads(file.read_text()):
        key = f"{match['scenario']}/{entry['id']}"
        times[key] += 1
        name = key if times[key] == 1 else f"{key}#{times[key]}"
        checks[name] = Check(entry["status"], entry.get("errorMessage") or "")
    return checks

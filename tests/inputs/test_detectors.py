"""What the checks refuse of attacks, and what of what people write, is as good as promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rows(corpora: Path) -> dict[tuple[str, str], dict[str, Any]]:
    command = [sys.executable, "bench/detectors.py", str(corpora), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found = map(json.loads, done.stdout.splitlines())
    return {(row["kind"], row["corpus"]): row for row in found}


def share(row: dict[str, Any]) -> float:
    assert row["total"] > 0
    return float(row["refused"] / row["total"])


def test_text_of_people_is_text(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    benign = [row for (kind, corpus), row in rows.items() if kind == "text" and corpus.startswith("benign")]
    assert len(benign) == 10
    assert all(share(row) <= 0.001 for row in benign)


def test_naughty_strings_are_text_but_for_those_that_hide_text(
    rows: dict[tuple[str, str], dict[str, Any]],
) -> None:
    """Every format character there is (tags and overrides among them), and ANSI sequences twice."""
    naughty = rows["text", "blns"]
    assert naughty["total"] == 509
    assert [int(identity.rpartition("-")[2]) for identity in naughty["left"]] == [95, 500, 501]


def test_urls_that_lead_inside_are_refused_and_homepages_are_not(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert share(rows["url", "ssrf"]) >= 0.98
    assert rows["url", "benign_urls"]["refused"] == 0


def test_traversals_are_refused_and_paths_are_not(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert share(rows["path", "path_traversal"]) >= 0.95
    assert rows["path", "benign_paths"]["refused"] == 0


def test_only_selects_are_sql_that_reads(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    selects = rows["sql", "SELECTs in benign_docs_sql"]
    others = rows["sql", "other statements in benign_docs_sql"]
    assert selects["total"] > 50 and share(selects) <= 0.01
    assert others["total"] > 30 and share(others) == 1


def test_checks_take_milliseconds_at_most(rows: dict[tuple[str, str], dict[str, Any]]) -> None:
    """Promised are 2 ms for 99 in 100, and 0.3 ms for most; a busy machine is given room."""
    for row in rows.values():
        assert row["median"] < 2_000, row
        assert row["total"] < 500 or row["p99"] < 20_000, row

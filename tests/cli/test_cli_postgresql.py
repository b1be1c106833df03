"""The command works on a database that is on PostgreSQL as on one in the state folder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from databases import Place
from desk import CONFIG, Desk


@pytest.fixture
def shared(desk: Desk, postgresql: Place) -> Desk:
    desk.write("gateway.toml", f"[gateway]\n{postgresql.setting}\n{CONFIG}")
    return desk


def said(desk: Desk, *arguments: str, status: int = 0, **environ: str) -> str:
    ran = desk.run(*arguments, **environ)
    assert ran.returncode == status, ran.stderr
    return ran.stdout if status == 0 else ran.stderr


def listed(desk: Desk, *arguments: str) -> Any:
    return json.loads(said(desk, *arguments, "--json"))


def test_what_operators_keep_is_kept_there(shared: Desk, postgresql: Place) -> None:
    said(shared, "check")
    token = listed(shared, "token", "create", "payment", "--claim", "customer_id=C-1")
    (row,) = listed(shared, "token", "list")
    assert row["id"] in token["token"] and row["claims"] == {"customer_id": "C-1"}
    said(shared, "token", "revoke", row["id"])
    assert [each["state"] for each in listed(shared, "token", "list")] == ["revoked"]
    said(shared, "token", "revoke", row["id"], status=1)
    listed(shared, "reviewer", "create", "rita")
    (reviewer,) = listed(shared, "reviewer", "list")
    said(shared, "reviewer", "revoke", reviewer["id"])
    said(shared, "read-only", "on", "payment", "--by", "ann")
    assert [each["agent"] for each in listed(shared, "read-only", "show")] == ["payment"]
    said(shared, "read-only", "off", "payment")
    assert listed(shared, "approvals", "list", "--all") == [] and listed(shared, "runs", "list") == []
    assert listed(shared, "runs", "unknown") == []
    said(shared, "approvals", "stats")
    assert "no such ticket" in said(shared, "approvals", "show", "absent", status=1)
    said(shared, "pins", "show")
    assert not (shared.folder / "var/toolgate.db").exists()
    told = [(row["kind"], row["chain"], row["n"]) for row in postgresql.rows("events")]
    kinds = ("token", "token", "reviewer", "reviewer", "mode", "mode")
    assert told == [(kind, "cli", place + 1) for place, kind in enumerate(kinds)]

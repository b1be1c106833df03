"""`toolgate runs`: what the operator sees of runs, and what people do about them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from databases import Place
from runs_parts import Books, books, call, leased

from gateway.audit import Outcome
from gateway.call import Call
from gateway.cli import main


@pytest.fixture
def kept(database: Place) -> Iterator[Books]:
    with books(database) as made:
        (database.path.parent / "policies").mkdir()
        made.state.store.start()
        yield made


def told(kept: Books, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    """What `toolgate runs` prints, errors too."""
    assert main(["runs", *arguments, "--config", str(kept.folder / "gateway.toml")]) == status
    printed = capsys.readouterr()
    return printed.out + printed.err


async def doubt(kept: Books, call: Call) -> None:
    """Make a call of which nobody knows whether it ran."""
    outcome: Outcome = "unknown"
    assert await kept.state.ledger.begin(call) is None
    await kept.state.ledger.end(call, outcome, seconds=1, result=None, reason="deadline_exceeded")


def test_runs_are_listed_with_what_can_be_undone(kept: Books, capsys: pytest.CaptureFixture[str]) -> None:
    assert "No run is known" in told(kept, capsys, "list")
    kept.enter(leased(call(1), 30))
    kept.leave(call(1))
    kept.mark("finished", run="over")
    shown = told(kept, capsys, "list")
    assert "r     a      active    -      1      30 s" in shown and "1 can be undone" in shown
    (run,) = json.loads(told(kept, capsys, "list", "--json", "--state", "active"))
    assert (run["run"], run["agent"], run["lease"], run["steps"]) == ("r", "a", 30.0, {"done": 1})


def test_an_active_run_is_rolled_back_by_the_operator(kept: Books, capsys: pytest.CaptureFixture[str]) -> None:
    kept.enter(call(1))
    kept.leave(call(1))
    assert "undoes its 1 steps" in told(kept, capsys, "rollback", "r")
    (run,) = kept.runs.find()
    assert (run.state, run.why) == ("rolling_back", "operator")
    assert "only an active run" in told(kept, capsys, "rollback", "r", status=1)
    assert "no run 'x' is known" in told(kept, capsys, "rollback", "x", status=1)


def test_a_run_that_several_agents_have_needs_its_agent(kept: Books, capsys: pytest.CaptureFixture[str]) -> None:
    kept.enter(call(1, agent="a"))
    kept.enter(call(2, agent="b"))
    assert "a, b" in told(kept, capsys, "rollback", "r", status=1)
    told(kept, capsys, "rollback", "r", "--agent", "b")
    assert {run.agent: run.state for run in kept.runs.find()} == {"a": "active", "b": "rolling_back"}


@pytest.mark.parametrize(("verdict", "steps"), [("happened", {"done": 1}), ("did-not", {})])
async def test_unknown_outcomes_are_listed_and_settled_by_a_reviewer(
    kept: Books,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verdict: str,
    steps: dict[str, int],
) -> None:
    assert "Of every call" in told(kept, capsys, "unknown")
    await doubt(kept, call(1))
    shown = told(kept, capsys, "unknown")
    assert "call-1" in shown and "works/do" in shown and "toolgate runs settle" in shown
    (one,) = json.loads(told(kept, capsys, "unknown", "--json"))
    assert (one["call"], one["run"], one["arguments"]) == ("call-1", "r", {"order": {"id": 1}})
    settle = ("settle", "call-1", verdict, "--words", "looked at the books")
    monkeypatch.delenv("TOOLGATE_REVIEWER_TOKEN", raising=False)
    assert "token" in told(kept, capsys, *settle, status=1)
    monkeypatch.setenv("TOOLGATE_REVIEWER_TOKEN", kept.state.reviewers.create("rita", expires=None)[0])
    assert "settled by rita" in told(kept, capsys, *settle)
    assert "no call 'call-1' is to be settled" in told(kept, capsys, *settle, status=1)
    assert kept.runs.find()[0].steps == steps

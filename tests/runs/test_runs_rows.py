"""What the store knows of runs: when they open and close, what they count, and what undoes their calls."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from databases import Place
from runs_parts import Books, books, call, leased

from gateway.call import Compensation
from gateway.errors import InvalidArguments, RunClosed, RunExhausted
from gateway.ledger.claims import put, row
from gateway.own.rollback import run_of
from gateway.runs.outcomes import Failed, Outcomes
from gateway.settings import RunSettings
from gateway.terms import Ceilings


@pytest.fixture
def kept(database: Place) -> Iterator[Books]:
    with books(database) as made:
        yield made


def test_a_run_leaves_nothing_where_nothing_can_be_undone_and_nothing_is_bounded(kept: Books) -> None:
    kept.enter(call(1, compensate=None))
    kept.enter(call(2, run=None))
    assert kept.runs.find() == []


def test_a_call_that_can_be_undone_registers_how_once_it_has_answered(kept: Books) -> None:
    for number in (1, 2):
        kept.enter(call(number))
        kept.leave(call(number), f"made-{number}")
    (run,) = kept.runs.find()
    assert (run.agent, run.run, run.state, run.calls, run.steps) == ("a", "r", "active", 2, {"done": 2})
    assert kept.plans() == [{"why": "rolled back", "of": n, "name": f"made-{n}"} for n in (2, 1)]


def test_an_answer_in_a_text_is_looked_into_too(kept: Books) -> None:
    one = call(1)
    kept.enter(one)
    text = {"content": [{"type": "text", "text": '{"made": {"name": "from text"}}'}]}
    kept.do(lambda connection: kept.runs.leave(connection, one, text))
    assert kept.plans()[0]["name"] == "from text"


@pytest.mark.parametrize("result", [{}, {"content": "odd"}, {"content": [{"text": "no JSON"}]}, {"content": [{}]}])
def test_what_an_answer_lacks_is_said_by_the_step(kept: Books, result: dict[str, object]) -> None:
    one = call(1, arguments={"order": "no object"})
    kept.enter(one)
    kept.do(lambda connection: kept.runs.leave(connection, one, result))
    (step,) = kept.runs.steps("a", "r")
    assert kept.runs.plan(step.call, step.sealed).missing == ("$.arguments.order.id", "$.result.made.name")


def test_steps_hold_nothing_in_clear_and_tell_which_arguments_are_secret(kept: Books) -> None:
    undo = Compensation("undo", {"card": "$.arguments.card", "of": "$.arguments.name"})
    one = call(1, compensate=undo, arguments={"card": "4111-secret", "name": "n"}, secrets=frozenset({"card"}))
    kept.enter(one)
    kept.leave(one)
    (step,) = kept.runs.steps("a", "r")
    assert "4111" not in step.sealed
    assert kept.runs.plan(step.call, step.sealed).secret == ("card",)


def test_a_call_that_was_not_made_does_not_count(kept: Books) -> None:
    kept.enter(call(1))
    kept.do(lambda connection: kept.runs.spare(connection, call(1)))
    (run,) = kept.runs.find()
    assert (run.calls, run.steps) == (0, {})


def test_a_call_that_its_tool_answered_with_an_error_counts_and_leaves_nothing_to_undo(kept: Books) -> None:
    kept.enter(call(1))
    kept.do(lambda connection: kept.runs.leave(connection, call(1), {"isError": True}))
    (run,) = kept.runs.find()
    assert (run.calls, run.steps) == (1, {})


def test_an_undoing_that_was_answered_with_an_error_undid_nothing(kept: Books) -> None:
    kept.enter(call(1))
    kept.leave(call(1))
    undo = replace(call(2), undoes="call-1")
    kept.do(lambda connection: kept.runs.leave(connection, undo, {"isError": True}))
    assert kept.runs.find()[0].steps == {"done": 1}


def test_a_finished_run_keeps_nothing_and_takes_no_more_calls(kept: Books) -> None:
    for number in (1, 2):
        kept.enter(call(number))
    kept.leave(call(1))
    assert kept.mark("finished")
    kept.leave(call(2))  # one that was under way
    assert kept.runs.steps("a", "r") == []
    with pytest.raises(RunClosed, match="is finished"):
        kept.enter(call(3))
    kept.enter(call(4, compensate=None, read_only=True))
    assert not kept.mark("failed")
    assert not kept.mark("active")


@pytest.mark.parametrize("compensate", [None, Compensation("undo", {})])
def test_a_run_that_failed_takes_no_more_calls_but_those_that_undo_it(
    kept: Books, compensate: Compensation | None
) -> None:
    kept.enter(call(1))
    kept.leave(call(1))
    assert kept.mark("failed")
    with pytest.raises(RunClosed, match="being undone"):
        kept.enter(call(2, compensate=compensate))
    undo = replace(call(3), undoes="call-1")
    kept.enter(undo)
    kept.leave(undo)
    assert [step.state for step in kept.runs.steps("a", "r")] == ["undone"]
    assert kept.runs.find()[0].calls == 1


def test_a_run_may_make_so_many_calls(kept: Books) -> None:
    for number in (1, 2):
        kept.enter(call(number, compensate=None, ceilings=Ceilings(calls=2)))
    with pytest.raises(RunExhausted, match="2 of 2"):
        kept.enter(call(3, compensate=None, ceilings=Ceilings(calls=2)))
    kept.enter(call(4, run="another", ceilings=Ceilings(calls=2)))


def test_a_run_may_last_so_long(kept: Books) -> None:
    kept.enter(call(1, ceilings=Ceilings(seconds=60)))
    kept.clock.now += 59
    kept.enter(call(2, ceilings=Ceilings(seconds=60)))
    kept.clock.now += 1
    with pytest.raises(RunExhausted, match="60 seconds ago"):
        kept.enter(call(3, ceilings=Ceilings(seconds=60)))


def test_a_lease_is_asked_for_changed_and_dropped_by_any_call(kept: Books) -> None:
    for number, (seconds, lease) in enumerate([(30, 30.0), (None, 30.0), (5.5, 5.5), (0, None)]):
        kept.enter(leased(call(number, compensate=None), seconds))
        assert kept.runs.find()[0].lease == lease


@pytest.mark.parametrize("odd", ["30", True, -1, 1e9, float("nan"), [30]])
def test_a_lease_that_is_none_is_refused(kept: Books, odd: object) -> None:
    with pytest.raises(InvalidArguments, match="toolgate/lease"):
        kept.enter(leased(call(1), odd))
    assert kept.runs.find() == []


def test_a_runs_name_is_its_agents_own(kept: Books) -> None:
    kept.enter(call(1, agent="a"))
    kept.leave(call(1, agent="a"))
    assert kept.mark("failed", agent="b")
    kept.enter(call(2, agent="a"))
    states = {run.agent: (run.state, run.steps.get("done")) for run in kept.runs.find()}
    assert states == {"a": ("active", 1), "b": ("rolling_back", None)}


@pytest.mark.parametrize("happened", [True, False])
def test_what_a_person_found_out_about_a_call_can_be_undone_after_all(kept: Books, happened: bool) -> None:
    undo = Compensation("undo", {"of": "$.arguments.order.id"})
    for number in (1, 2):
        kept.enter(call(number, compensate=undo))
    kept.do(lambda connection: kept.runs.settle(connection, "call-1", happened))
    assert [step.state for step in kept.runs.steps("a", "r")] == (["sent", "done"] if happened else ["sent"])


def test_old_runs_are_forgotten_unless_something_waits_in_them(kept: Books) -> None:
    kept.enter(call(1, run="old"))
    kept.leave(call(1, run="old"))
    kept.enter(call(2, run="unknown"))
    kept.enter(leased(call(3, run="leased"), 60))
    kept.leave(call(3, run="leased"))
    kept.mark("finished", run="over")
    kept.clock.now += 100
    kept.enter(call(4, run="new"))
    kept.do(lambda connection: kept.runs.sweep(connection, kept.clock.now - 50))
    assert sorted(run.run for run in kept.runs.find()) == ["leased", "new", "unknown"]


@pytest.mark.parametrize("state", ["unknown", "open"])
def test_an_attempt_that_cannot_be_made_does_not_change_the_key_of_one_that_may_have_run(
    kept: Books, state: str
) -> None:
    kept.enter(call(1))
    kept.leave(call(1))
    (step,) = kept.runs.steps("a", "r")
    sent = replace(call(2, compensate=None), key=step.key, undoes=step.call)
    kept.do(lambda connection: put(connection, row(sent, state=state, owner="one", at=1.0, shown="{}")))
    outcomes = Outcomes(kept.runs, kept.state.approvals, RunSettings(), lambda server, tool: None, lambda: 0.5)
    last = kept.do(lambda connection: outcomes.failed(connection, step, Failed("works does not offer undo now")))
    (after,) = kept.runs.steps("a", "r")
    tickets = kept.state.approvals.find(states=["pending"])
    assert after.attempts == 0
    if state == "unknown":
        assert last and (after.state, after.ticket) == ("stuck", tickets[0].id)
    else:  # what became of it is still to be written: nobody has to look
        assert not last and (after.state, tickets) == ("done", []) and after.due > step.due


@pytest.mark.parametrize("name", ["r\nERROR toolgate: all is lost", "r\t", "r\u2028"])
def test_no_run_has_a_name_that_could_pass_for_a_line_of_the_log(name: str) -> None:
    with pytest.raises(InvalidArguments, match="printable"):
        run_of(call(1, run=None, arguments={"run": name}))
    assert run_of(call(1, run=None, arguments={"run": "order 77"})) == "order 77"

"""Runs looked at: list, show as text and as a page, replay, going on live from a turn, and statistics."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from fake_gateway import FakeGateway, undone

from agents.__main__ import main
from agents.order import JOBS
from agents.stats import METRICS
from agents.tools import ROLLBACK

EXAMPLES = Path(__file__).parents[2] / "agents" / "examples"
DOCS = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
Run = Callable[..., str]


@pytest.fixture
def agents(gateway: FakeGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """`python -m agents` with a journal of its own; what it prints, once it ended with `status`."""
    names = [*JOBS, "support"]
    tokens = {f"TOOLGATE_TOKEN_{name.upper()}": f"tok-{name}" for name in names}
    environ = {"TOOLGATE_URL": gateway.url, "TOOLGATE_JOURNAL": str(tmp_path / "agents.db"), **tokens}

    def run(*arguments: str, status: int = 0) -> str:
        assert main(list(arguments), environ) == status, capsys.readouterr()
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


def order(agents: Run, name: str, run: str, status: int = 0) -> None:
    agents("order", "--file", str(EXAMPLES / f"{name}.json"), "--model", "scripted:order", "--run", run, status=status)


@pytest.fixture
def played(agents: Run, gateway: FakeGateway) -> Run:
    """An order that went well, and one that failed and was undone."""
    gateway.instead[ROLLBACK] = lambda arguments: undone(
        arguments["run"], *["reserve_inventory"] * 2 * arguments["run"].endswith("/inventory")
    )
    order(agents, "order", "good")
    order(agents, "order-declined", "bad", status=1)
    return agents


def test_all_runs_are_listed_with_how_they_stand(played: Run, tmp_path: Path) -> None:
    lines = played("list").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["good", "order", "end_turn"], ["bad", "order", "failed"]]
    assert "payment: Error executing tool payment__charge_card: declined" in lines[2]
    whole = json.loads(played("list", "--json"))
    assert [(run["id"], run["state"], len(run["parts"])) for run in whole] == [
        ("good", "end_turn", 5),
        ("bad", "failed", 4),
    ]
    with closing(sqlite3.connect(tmp_path / "agents.db")) as journal:
        journal.execute("DELETE FROM entries WHERE run = 'good' AND kind = 'finished'")
        journal.commit()
    assert played("list").splitlines()[1].split()[2] == "interrupted"


def test_a_run_is_shown_as_a_timeline_of_all_its_parts(played: Run) -> None:
    text = played("show", "bad")
    assert "Run bad (order): failed, payment: " in text
    for line in (
        "inventory   inventory__reserve_inventory answered: ",
        "payment     payment__charge_card failed: ",
        "bad         stage payment failed: ",
        "bad         the gateway undoes what inventory did: inventory/reserve_inventory, inventory/reserve_inventory",
    ):
        assert line in text, text
    assert "Run good/payment (payment): end_turn" in played("show", "good/payment")
    assert "there is no run nobody" in played("show", "nobody", status=2)


def test_a_page_shows_everything_escaped_and_runs_nothing(agents: Run, gateway: FakeGateway, tmp_path: Path) -> None:
    said = "<script>alert(1)</script>"
    gateway.refuse("payment__refund_card", said)
    task = f"Call payment__refund_card {{}} {said}"
    agents("loop", "--agent", "support", "--task", task, "--model", "scripted:overreach", "--run", "r")
    agents("show", "r", "--html", str(tmp_path / "run.html"))
    page = (tmp_path / "run.html").read_text()
    assert "<script" not in page and page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 3
    assert 'class="refused">payment__refund_card was refused (denied)' in page


def test_a_replay_is_equal_and_says_where_a_record_was_changed(played: Run, tmp_path: Path) -> None:
    said = played("replay", "good")
    assert said.splitlines()[-1] == "5 of 5 conversations are as they were."
    assert played("replay", "bad").count(": equal\n") == 4
    with closing(sqlite3.connect(tmp_path / "agents.db")) as journal:
        journal.execute(
            "UPDATE entries SET data = replace(data, '\"amount\": 11170', '\"amount\": 1') "
            "WHERE run = 'good/payment' AND kind = 'call'"
        )
        journal.commit()
    said = played("replay", "good", status=1)
    assert "good/payment: 2 of 9 entries" in said
    assert 'entry 3 was call {"id": "toolu_0001", "input": {"amount": 1,' in said
    assert said.splitlines()[-1] == "4 of 5 conversations are as they were."


def test_a_replay_follows_interruptions_people_and_failures(agents: Run, gateway: FakeGateway) -> None:
    pending = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}
    decided = {"content": [{"type": "text", "text": "Rejected: no."}], "isError": True}
    begin = ["loop", "--agent", "support", "--task", "Call payment__refund_card {}", "--model", "scripted:overreach"]
    gateway.answer("payment__refund_card", pending)
    agents(*begin, "--run", "r", "--wait", "0", status=3)
    agents("resume", "r", "--gateway", "http://127.0.0.1:9/mcp", "--wait", "0", status=1)
    agents("resume", "r", "--wait", "0", status=3)
    gateway.answer("payment__refund_card", decided)
    agents("resume", "--all")
    agents("loop", "--agent", "support", "--task", "no tool", "--model", "scripted:overreach", "--run", "s", status=1)
    for run in ("r", "s"):
        assert "1 of 1 conversations are as they were." in agents("replay", run)


def test_a_replay_can_stop_at_a_turn_or_go_on_live_from_it(played: Run, gateway: FakeGateway) -> None:
    said = played("replay", "good/inventory", "--until", "1")
    assert "good/inventory: 6 of 6 entries, 1 turns: equal" in said
    assert "inventory__check_stock" in said and "inventory__reserve_inventory" not in said
    assert "name one of them: good/validation, " in played("replay", "good", "--until", "1", status=2)
    gateway.calls.clear()
    said = played("replay", "good/inventory", "--live-from", "2", "--model", "scripted:order")
    assert "inventory: end_turn after 3 turns" in said
    assert gateway.tools() == ["inventory__reserve_inventory"] * 2
    assert {call.meta["toolgate/run"] for call in gateway.calls} != {"good/inventory"}, "for real, under a new run"


class Gateway(BaseHTTPRequestHandler):
    """A Pushgateway, as far as this goes."""

    pushed: ClassVar[dict[str, str]] = {}

    def do_PUT(self) -> None:
        self.pushed[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def pushgateway() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_statistics_count_runs_turns_costs_and_errors(played: Run, tmp_path: Path, pushgateway: str) -> None:
    lines = played("stats").splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line}
    assert rows["order"][1:6] == ["2", "50.0", "%", "14.0", "16"]
    assert rows["payment"][1:4] == ["2", "100.0", "%"], "it did its job: it said that it failed"
    assert lines[-1].split() == ["payment__charge_card", "tool_error", "1", "2"]
    file = tmp_path / "agents.prom"
    played("stats", "--prometheus", str(file), "--push", pushgateway)
    assert Gateway.pushed["/metrics/job/toolgate_agents"] == (text := file.read_text())
    assert 'toolgate_agent_runs{agent="order",outcome="failed"} 1\n' in text
    assert 'toolgate_agent_success_ratio{agent="order"} 0.5\n' in text
    assert 'toolgate_agent_tool_errors{tool="payment__charge_card",reason="tool_error"} 1\n' in text
    assert "could not be pushed" in played("stats", "--push", "http://127.0.0.1:9", status=2)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_of_agents_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCS


@pytest.mark.parametrize("command", ["order", "loop", "desk", "resume", "list", "show", "replay", "stats"])
def test_every_command_of_agents_is_documented(command: str) -> None:
    assert f"python -m agents {command}" in DOCS


def test_an_unknown_journal_and_part_are_named(agents: Run) -> None:
    assert "and not with mysql://" in agents("list", "--journal", "mysql://x/y", status=2)
    assert "is a part; give the whole run, a" in agents("resume", "a/b", status=2)
    assert "There are no runs" in agents("stats")

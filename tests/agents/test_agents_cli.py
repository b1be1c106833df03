"""`python -m agents`: what it prints and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fake_gateway import FakeGateway, undone

from agents import agent
from agents.__main__ import main
from agents.order import JOBS
from agents.tools import ROLLBACK

ROOT = Path(__file__).parents[2]
ORDER = str(ROOT / "agents" / "examples" / "order.json")
DECLINED = str(ROOT / "agents" / "examples" / "order-declined.json")
TOKENS = {f"TOOLGATE_TOKEN_{name.upper()}": f"tok-{name}" for name in JOBS}


@pytest.fixture
def environ(gateway: FakeGateway) -> dict[str, str]:
    return {"TOOLGATE_URL": gateway.url, **TOKENS}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals are written below the working folder where nothing else is said."""
    monkeypatch.chdir(tmp_path)


def test_an_order_that_completes_exits_0_and_tells_what_happens(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["order", "--file", ORDER, "--model", "scripted:order"], environ) == 0
    out = capsys.readouterr().out
    assert out.startswith("The model is scripted (scripted:order): no real model is asked, no cost is known.\n")
    assert "payment: Charges the card once" in out
    assert "  turn 1: the model answered; cost so far not known\n" in out
    assert "  calls payment__charge_card\n" in out
    assert "Order ORD-7001 completed: 16 turns, 18 tool calls" in out
    assert "tok_visa" not in out


@pytest.fixture
def undoing(gateway: FakeGateway) -> None:
    """The gateway undoes two calls of the inventory agent, and finds none of the others."""

    def rollback(arguments: dict[str, str]) -> dict[str, object]:
        run = arguments["run"]
        return undone(run, *["reserve_inventory"] * 2) if run.endswith("/inventory") else undone(run)

    gateway.instead[ROLLBACK] = rollback


@pytest.mark.usefixtures("undoing")
def test_an_order_that_fails_exits_1_and_names_stage_reason_and_what_was_taken_back(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["order", "--file", DECLINED, "--model", "scripted:order"], environ) == 1
    out = capsys.readouterr().out
    assert "inventory: taken back by the gateway: inventory/reserve_inventory, inventory/reserve_inventory\n" in out
    assert "Order ORD-7002 failed in payment: " in out
    assert "declined: insufficient funds" in out
    assert "2 of 2 effects taken back" in out


@pytest.mark.usefixtures("undoing")
def test_json_goes_to_stdout_and_progress_to_stderr(
    environ: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["order", "--file", DECLINED, "--model", "scripted:order", "--json"], environ) == 1
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert [part["agent"] for part in report["parts"]] == ["validation", "inventory", "pricing", "payment"]
    assert (report["outcome"], report["parts"][0]["cost"]) == ("failed", None)
    stages = [note for note in report["notes"] if note["kind"] == "staged"]
    assert [stage["output"] is not None for stage in stages] == [True, True, True, False]
    (undone,) = [note for note in report["notes"] if note["kind"] == "undone"]
    assert (undone["agent"], undone["undone"], undone["worked"]) == (
        "inventory",
        ["inventory/reserve_inventory"] * 2,
        True,
    )
    assert "The model is scripted" in err


def test_one_agent_does_one_task(gateway: FakeGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.refuse("customers__delete_customer_data", "You may not do this.")
    tokens = tmp_path / "tokens.json"
    tokens.write_text(json.dumps({"support": "tok-support"}))
    command = [
        "loop",
        "--agent",
        "support",
        "--task",
        "Call customers__delete_customer_data {}",
        "--tokens",
        str(tokens),
    ]
    assert main([*command, "--gateway", gateway.url, "--model", "scripted:overreach"], {}) == 0
    out = capsys.readouterr().out
    assert "  customers__delete_customer_data was refused (denied)\n" in out
    assert "was refused. You may not do this." in out
    assert gateway.calls[0].token == "tok-support"


def test_an_agent_waits_until_people_have_decided(
    gateway: FakeGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "PAUSE", 0.01)
    pending = {"content": [{"type": "text", "text": "NOT EXECUTED"}], "_meta": {"toolgate/pending": "T1"}}
    decided = {"content": [{"type": "text", "text": "Rejected: no."}], "isError": True}
    answers = iter([pending, pending])
    gateway.instead["payment__refund_card"] = lambda arguments: next(answers, decided)
    command = ["loop", "--agent", "support", "--task", "Call payment__refund_card {}", "--model", "scripted:overreach"]
    assert main(command, {"TOOLGATE_URL": gateway.url, "TOOLGATE_TOKEN_SUPPORT": "tok-s"}) == 0
    assert "payment__refund_card waits for a decision, ticket T1" in (out := capsys.readouterr().out)
    assert "was refused. Rejected: no." in out
    assert len({call.meta["toolgate/key"] for call in gateway.calls}) == 1


def test_a_run_that_fails_exits_1(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["loop", "--agent", "support", "--task", "no tool here", "--model", "scripted:overreach", "--json"]
    assert main(command, {"TOOLGATE_URL": gateway.url, "TOOLGATE_TOKEN_SUPPORT": "tok-s"}) == 1
    result = json.loads(capsys.readouterr().out)
    assert (result["outcome"], result["turns"]) == ("model_error", 0)
    assert "names no tool" in result["detail"]


WRONG = {
    "no key": ([], TOKENS, "needs a key: set ANTHROPIC_API_KEY"),
    "an unknown script": (
        ["--model", "scripted:nope"],
        TOKENS,
        "Known: scripted:desk, scripted:hanging-order, scripted:order,",
    ),
    "no tokens": (
        ["--model", "scripted:order"],
        {},
        "pricing (TOOLGATE_TOKEN_PRICING), payment (TOOLGATE_TOKEN_PAYMENT)",
    ),
    "a token file that is not there": (["--tokens", "/nowhere.json"], {}, "/nowhere.json cannot be read"),
    "a gateway that is no address": (["--gateway", "localhost:8080"], TOKENS, "'localhost:8080' is no http(s) URL"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_command_exits_2_and_says_what_to_do(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    options, environ, said = WRONG[what]
    assert main(["order", "--file", ORDER, *options], environ) == 2
    out, err = capsys.readouterr()
    assert (out, said in err) == ("", True), err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "$: [] is not of type 'object'"),
        ('{"order_id": "", "items": []}', "$.items: [] should be non-empty"),
    ],
)
def test_a_file_that_is_no_order_exits_2_and_names_every_problem(
    tmp_path: Path, content: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "order.json"
    file.write_text(content)
    assert main(["order", "--file", str(file), "--model", "scripted:order"], TOKENS) == 2
    assert said in capsys.readouterr().err


def test_what_is_left_to_people_is_told_in_the_gateways_words(
    environ: dict[str, str], gateway: FakeGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway.instead[ROLLBACK] = lambda arguments: undone(arguments["run"], waiting=("reserve_inventory",))
    assert main(["order", "--file", DECLINED, "--model", "scripted:order"], environ) == 1
    out = capsys.readouterr().out
    assert "/inventory is undone.\n" in out
    assert "0 of 4 effects taken back" in out


def test_a_lease_is_asked_for_with_every_call(environ: dict[str, str], gateway: FakeGateway) -> None:
    assert main(["order", "--file", ORDER, "--model", "scripted:order", "--lease", "60"], environ) == 0
    assert {call.meta["toolgate/lease"] for call in gateway.calls} == {60.0}


@pytest.mark.parametrize("lease", ["0", "86401", "nan", "soon"])
def test_a_lease_that_is_none_exits_2(lease: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["order", "--file", ORDER, "--lease", lease], {})
    assert (ended.value.code, "--lease" in capsys.readouterr().err) == (2, True)


def test_the_module_runs_as_a_command(gateway: FakeGateway) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "agents",
            "order",
            "--file",
            ORDER,
            "--model",
            "scripted:order",
            "--gateway",
            gateway.url,
        ],
        env={**TOKENS, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Order ORD-7001 completed" in done.stdout

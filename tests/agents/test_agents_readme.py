"""The programs in the README run as they stand, and each pattern is short."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fake_gateway import FakeGateway
from scripted_turns import STOCK, answer, calls, text

from agents.journal import Journal
from agents.model import open_model
from agents.scripted.server import KEY, serve

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README.partition("### Build agents")[2], re.DOTALL)
PLAN = [
    {"id": "price", "specialist": "quote", "task": "LAMP-01", "needs": []},
    {"id": "tell", "specialist": "support", "task": "Tell the customer.", "needs": ["price"]},
]


def script(request: dict[str, Any]) -> dict[str, Any]:
    """Who is named in the system prompt does what the README has it do."""
    system = request["system"]
    if system.startswith("You plan"):
        return answer({"tasks": PLAN}) if "output_config" in request else text("Both are done.")
    if "agent inventory" in system:
        return answer({"left": 10}) if len(request["messages"]) > 1 else calls(STOCK)
    if "agent pricing" in system:
        return answer({"cents": 4900})
    return text("It is shipped.") if "agent support" in system else text("", "refusal")


@pytest.fixture
def environ(gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    with serve(script) as api:
        names = ("support", "analyst", "inventory", "pricing")
        given = {f"TOOLGATE_TOKEN_{name.upper()}": f"tok-{name}" for name in names}
        given |= {"TOOLGATE_URL": gateway.url, "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": api, "NO_PROXY": "*"}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        yield given


def test_each_pattern_takes_less_than_twenty_lines() -> None:
    assert len(BLOCKS) == 4
    assert [len(block.splitlines()) for block in BLOCKS[1:] if len(block.splitlines()) >= 20] == []


def test_the_programs_run(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    said: dict[str, Any] = {}
    exec(BLOCKS[0], said)
    printed = capsys.readouterr().out.split()
    assert printed[:4] == ["end_turn", "It", "is", "shipped."] and float(printed[4]) > 0
    for block in BLOCKS[1:]:
        exec(block, said)
    ends = {}

    async def patterns() -> None:
        async with open_model("claude-sonnet-5-5", environ) as model:
            for name in ("quote", "survey", "office"):
                run = await said[name](model).run("LAMP-01")
                ends[name] = (run.outcome, run.text)
                assert run.cost is not None and run.cost > 0
        await said["runs"].journal.close()

    anyio.run(patterns)
    assert {outcome for outcome, _ in ends.values()} == {"end_turn"}, ends
    assert json.loads(ends["quote"][1]) == {"inventory": {"left": 10}, "pricing": {"cents": 4900}}
    assert ends["survey"][1] == "support: success: It is shipped.\nanalyst: failed: "
    assert ends["office"][1] == "Both are done."
    journal = Journal("var/agents.db")
    assert len([name for name in anyio.run(journal.runs) if "/" not in name]) == 4
    anyio.run(journal.close)

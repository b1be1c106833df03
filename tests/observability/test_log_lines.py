"""Lines of calls in the log: which calls have one, what stands in it, and what never does."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from gateway_process import GatewayProcess
from raw_client import Modern, pool
from recorder import Nursery, shops

from gateway.logs import Console, JsonLine

POLICY = 'agent = "ada"\ndescription = "Notes."\n[[allow]]\ntool = "shop/note"\n'
CANARY = "canary-5521"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


async def told(nursery: Nursery, folder: Path, settings: str) -> tuple[list[dict[str, Any]], str]:
    """The lines of calls of a gateway that one call went well at and one was refused, and all that it said."""
    with shops(nursery, folder, "shop") as (shop,):
        servers = f'[servers.shop]\nurl = "{shop.url}"\nheaders = {{ x-key = "{CANARY}-key" }}\n'
        with GatewayProcess(folder, servers, {"ada.toml": POLICY}, settings=settings) as gateway:
            async with pool() as session:
                client = Modern(session, gateway.url(), gateway.headers("ada"))
                meta = {"toolgate/run": f"order-17 {CANARY}-key", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-00"}
                assert (await client.call("shop__note", {"text": CANARY}, **meta)).ok
                assert (await client.call(f"shop__{CANARY}", {"text": CANARY})).reason == "not_found"
        output = gateway.output
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["logger"] == "toolgate.calls"], output


async def test_every_call_has_a_line_where_all_are_wished_for(nursery: Nursery, tmp_path: Path) -> None:
    lines, output = await told(nursery, tmp_path, 'log_format = "json"\nlog_calls = "all"')
    well, refused = lines
    assert well.pop("ms") > 0 and refused.pop("ms") > 0 and well.pop("at") <= refused.pop("at")
    assert well.pop("call") != refused.pop("call")
    assert well.pop("message").startswith("ada called shop/note: ok in ")
    assert refused.pop("message").startswith("ada called shop/-: not_found in ")
    common = {"logger": "toolgate.calls", "agent": "ada", "server": "shop", "method": "tools/call"}
    assert refused == common | {"level": "warning", "tool": "-", "outcome": "not_found"}
    run = well.pop("run")
    assert well == common | {"level": "info", "tool": "note", "outcome": "ok", "trace": TRACE}
    assert run.startswith("order-17 ") and CANARY not in output, "a secret that an agent knows is masked too"


@pytest.mark.parametrize(("wish", "outcomes"), [("failed", ["not_found"]), ("none", [])])
async def test_fewer_calls_have_one_by_setting(
    nursery: Nursery, tmp_path: Path, wish: str, outcomes: list[str]
) -> None:
    setting = "" if wish == "failed" else f'log_calls = "{wish}"\n'  # which is the default
    lines, _ = await told(nursery, tmp_path, f'{setting}log_format = "json"')
    assert [line["outcome"] for line in lines] == outcomes


def record(level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("toolgate.calls", level, __file__, 1, "ada called %s: denied", ("shop/pay",), None)
    made.fields = {"outcome": "denied", "run": "order-17", "trace": TRACE}
    return made


def test_people_read_level_speaker_message_and_to_what_it_belongs() -> None:
    line = Console().format(record())
    assert line[8:] == f" WARNING  toolgate.calls     ada called shop/pay: denied  run order-17  trace {TRACE}"


def test_colors_are_for_terminals_and_change_no_word() -> None:
    plain, colored = Console().format(record()), Console(colored=True).format(record())
    assert "\x1b[33mWARNING \x1b[0m" in colored and "\x1b" not in plain
    for code in ("\x1b[33m", "\x1b[2m", "\x1b[0m"):
        colored = colored.replace(code, "")
    assert colored == plain


def test_fields_stand_beside_the_message_in_json() -> None:
    line = json.loads(JsonLine().format(record(logging.INFO)))
    assert line["message"] == "ada called shop/pay: denied" and line["run"] == "order-17" and line["level"] == "info"

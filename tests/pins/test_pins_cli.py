"""Pins by command line: what is in force, what waits and how it differs, and accepting it."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.admission import Admissions
from gateway.cli import main
from gateway.pins import Pins
from gateway.store import Store

SHELF = Path(__file__).with_name("shelf.py")
MODEL = Path(__file__).parents[2] / "policies/model.conf"
SERVERS = ("shop", "depot")
SCHEMA = {"type": "object", "properties": {"amount": {"type": "integer"}}}
HIDDEN = "Pays.\u202e\u200b\U000e0041 \u3164"


@dataclass
class Shop:
    """A state folder that a gateway left behind, and the command run on it."""

    folder: Path
    pins: Pins

    def see(self, server: str, *tools: dict[str, Any]) -> None:
        self.pins.write(Admissions(self.pins, SERVERS).judge(server, tools).changes)
        self.pins.refresh_if_changed()

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, and what was printed to standard output and error."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(["pins", *arguments, "--config", str(self.folder / "gateway.toml")])
        return status, out.getvalue(), err.getvalue()


def tool(name: str, description: str = "Pays.") -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": SCHEMA}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    # The servers' secrets are not there, and not needed.
    (tmp_path / "gateway.toml").write_text(
        '[servers.shop]\nurl = "http://127.0.0.1:1"\nheaders = { a = "${ABSENT}" }\n'
    )
    store = Store(tmp_path / "var/toolgate.db")
    pins = Pins(store)
    shop = Shop(tmp_path, pins)
    shop.see("shop", tool("pay"), tool("book"))
    shop.see("depot", tool("load"))
    yield shop
    pins.close()
    store.stop()


def test_every_pin_is_shown_with_its_state(shop: Shop) -> None:
    shop.see("shop", tool("pay", "Pays twice."))
    status, out, err = shop.run("show")
    assert (status, err) == (0, "")
    header, *lines = out.splitlines()
    assert header.split() == ["SERVER", "TOOL", "STATE", "DIGEST", "SINCE", "WHY"]
    assert [line.split()[:3] for line in lines[:3]] == [
        ["depot", "load", "pinned"],
        ["shop", "book", "pinned"],
        ["shop", "pay", "withheld"],
    ]
    assert "its definition is not the one that was pinned" in lines[2]
    assert lines[-1].startswith("1 withheld.")


def test_pins_are_shown_as_json_and_of_one_server(shop: Shop) -> None:
    status, out, _ = shop.run("show", "depot", "--json")
    (row,) = json.loads(out)
    assert status == 0
    assert row.keys() == {"server", "tool", "state", "digest", "offered", "why", "since"}
    assert (row["server"], row["tool"], row["state"], row["offered"]) == ("depot", "load", "pinned", None)
    assert re.fullmatch(r"[0-9a-f]{64}", row["digest"])


def test_a_diff_shows_what_changed_and_characters_that_cannot_be_seen(shop: Shop) -> None:
    shop.see("shop", tool("pay", HIDDEN))
    status, out, _ = shop.run("diff", "shop/pay")
    assert status == 1
    lines = out.splitlines()
    assert '-  "description": "Pays.",' in lines
    assert r'+  "description": "Pays.\u202e\u200b\U000e0041 \u3164",' in lines
    assert out.isascii()
    assert any(
        re.fullmatch(r"To offer it: toolgate pins accept shop/pay --digest [0-9a-f]{12}", line) for line in lines
    )


def test_a_diff_of_a_tool_never_accepted_shows_it_whole(shop: Shop) -> None:
    shop.see("depot", tool("P-a-y"))
    status, out, _ = shop.run("diff")
    assert status == 1
    assert "depot/P-a-y is withheld: its name looks like that of shop/pay" in out
    assert '+  "name": "P-a-y"' in out


def test_without_a_difference_a_diff_says_so(shop: Shop) -> None:
    assert shop.run("diff")[:2] == (0, "Nothing is withheld.\n")


@pytest.mark.parametrize("chosen", [["shop/pay"], ["shop"], ["--all"]])
def test_what_is_accepted_is_pinned(shop: Shop, chosen: list[str]) -> None:
    shop.see("shop", tool("pay", "Pays twice."))
    status, out, _ = shop.run("accept", *chosen)
    assert status == 0
    assert out.startswith("shop/pay is accepted as it is now (")
    assert shop.run("diff")[0] == 0
    assert shop.pins.refresh_if_changed(), "a running gateway would not notice"
    (pin,) = [pin for pin in shop.pins.of("shop").values() if pin.tool == "pay"]
    assert pin.offered is None


def test_with_a_digest_only_what_was_looked_at_is_accepted(shop: Shop) -> None:
    shop.see("shop", tool("pay", "Pays twice."))
    digest = re.findall(r"--digest (\w+)", shop.run("diff")[1])[0]
    shop.see("shop", tool("pay", "Pays thrice."))
    status, _, err = shop.run("accept", "shop/pay", "--digest", digest)
    assert status == 1
    assert "nothing with this digest is withheld there" in err
    shop.see("shop", tool("pay", "Pays twice."))
    assert shop.run("accept", "shop/pay", "--digest", digest)[0] == 0


def test_nothing_to_accept_is_told(shop: Shop) -> None:
    status, _, err = shop.run("accept", "shop/pay")
    assert status == 1
    assert err == "toolgate pins accept: nothing is withheld there. Fix: see toolgate pins show\n"


@pytest.mark.parametrize("deed", ["show", "diff", "accept"])
def test_a_name_never_seen_is_told_with_the_nearest(shop: Shop, deed: str) -> None:
    status, _, err = shop.run(deed, "shopp")
    assert status == 1
    assert "nothing of this name was ever listed (did you mean shop?)" in err


def test_without_a_database_it_says_that_no_gateway_has_run(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("")
    err = io.StringIO()
    with contextlib.redirect_stderr(err):
        assert main(["pins", "show", "--config", str(tmp_path / "gateway.toml")]) == 1
    assert "no gateway has run with this configuration" in err.getvalue()
    assert not (tmp_path / "var").exists()


def test_a_check_that_connects_warns_of_names_and_texts(tmp_path: Path) -> None:
    listed = {"shop": [tool("pay"), tool("pay now"), tool("toolgate__rollback")], "depot": [tool("Pay", HIDDEN)]}
    servers = ""
    for name, tools in listed.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(tools))
        arguments = json.dumps([str(SHELF), str(tmp_path / f"{name}.json"), str(tmp_path / "calls")])
        servers += f'[servers.{name}]\ncommand = "{sys.executable}"\nargs = {arguments}\nera = "legacy"\n'
    (tmp_path / "gateway.toml").write_text(servers)
    (tmp_path / "policies").mkdir()
    shutil.copy(MODEL, tmp_path / "policies")
    (tmp_path / "policies/a.toml").write_text('agent = "a"\ndescription = "Pays."\n[[allow]]\ntool = "shop/pay"\n')
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        assert main(["check", "--connect", "--config", str(tmp_path / "gateway.toml")]) == 0
    shop, depot = "warning: gateway.toml: servers.shop: ", "warning: gateway.toml: servers.depot: "
    warned = err.getvalue()
    assert f"{shop}tool 'pay now' is not offered: its name is not 1 to 128 of" in warned
    assert (
        f"{shop}tool toolgate__rollback is not offered: its name begins like those of the tools of toolgate" in warned
    )
    assert f"{depot}tool Pay is not offered: its name looks like that of shop/pay" in warned
    assert f"{depot}the text of tool 'Pay' holds " in warned
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("arguments", [["accept"], ["accept", "shop", "--all"], ["show", "a", "b"], []])
def test_wrong_usage_is_refused(shop: Shop, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        shop.run(*arguments)
    assert left.value.code == 2

"""The command line: exit status, one line per problem, and no traceback for an operator's mistake."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from desk import CONFIG, PAYMENT, Desk, Ran

from gateway.order import describe


def failed(ran: Ran, status: int = 1) -> list[str]:
    """The lines of stderr of a run that must have failed in good order."""
    assert ran.returncode == status, ran
    assert "Traceback" not in ran.stderr
    assert ran.stderr
    return ran.stderr.splitlines()


def test_help_and_version_answer(desk: Desk) -> None:
    for arguments in (["--help"], ["token", "--help"], ["--version"]):
        ran = desk.spawn(*arguments)
        assert (ran.returncode, ran.stderr) == (0, "")
        assert "toolgate" in ran.stdout


def test_the_package_is_the_same_command(desk: Desk) -> None:
    ran = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == desk.spawn("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["token"],
        ["token", "create"],
        ["token", "create", "payment", "--expires", "soon"],
        ["token", "create", "payment", "--expires", "0d"],
        ["token", "create", "payment", "--expires", "999999w"],
        ["serve", "--port", "65536"],
        ["serve", "--port", "-1"],
        ["check", "--json"],
    ],
)
def test_wrong_usage_exits_with_2(desk: Desk, arguments: list[str]) -> None:
    failed(desk.run(*arguments), 2)


def test_check_tells_that_all_is_in_order_and_in_which_order_controls_stand(desk: Desk) -> None:
    ran = desk.run("check")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "in order" in ran.stdout
    places = [ran.stdout.index(f"{place}  ") for place, _ in enumerate(describe(), start=1)]
    assert places == sorted(places)
    for name, reason in describe():
        assert name in ran.stdout
        assert reason in ran.stdout


def test_check_tells_the_problems_of_configuration_and_policies_together(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + "tiemout = 1\n[gateway]\nprot = 1\n")
    desk.write("policies/payment.toml", PAYMENT.replace("shop/charge_card", "shpo/charge_card"))
    lines = failed(desk.run("check"))
    assert len(lines) == 3
    assert [line.partition(": ")[0].rpartition("/")[2] for line in lines[:2]] == ["gateway.toml"] * 2
    assert "payment.toml" in lines[2]
    assert all("Fix: " in line for line in lines)


def test_check_shows_no_value_of_the_environment(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + 'era = "${SHOP_KEY}"\n')
    lines = failed(desk.run("check", SHOP_KEY="hunter2"))
    assert "servers.shop.era" in lines[0]
    assert "hunter2" not in "".join(lines)


@pytest.mark.parametrize("verb", [["check"], ["serve"], ["tools"], ["token", "list"], ["token", "create", "payment"]])
def test_a_missing_file_is_one_line(desk: Desk, verb: list[str]) -> None:
    (line,) = failed(desk.run(*verb, "--config", "none.toml"))
    assert "none.toml" in line


def test_the_exit_status_of_the_process_is_that_of_the_verb(desk: Desk) -> None:
    assert desk.spawn("check").returncode == 0
    assert len(failed(desk.spawn("check", "--config", "none.toml"))) == 1
    failed(desk.spawn("token"), 2)


def test_the_file_is_found_by_option_variable_or_name(desk: Desk) -> None:
    (desk.folder / "gateway.toml").rename(desk.folder / "other.toml")
    assert desk.run("check", "--config", "other.toml").returncode == 0
    assert desk.run("check", TOOLGATE_CONFIG="other.toml").returncode == 0
    assert desk.run("check").returncode == 1


def test_credentials_for_an_agent_without_policy_are_told(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + 'credentials.paymnt = { KEY = "x" }\n')
    (line,) = failed(desk.run("check"))
    assert "servers.shop.credentials.paymnt" in line
    assert "did you mean payment?" in line


def test_a_port_in_use_is_one_line_with_the_fix(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = failed(desk.spawn("serve", "--port", str(port)))[-1]
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "--port" in line


def test_serving_beyond_loopback_without_allowed_hosts_is_refused(desk: Desk) -> None:
    (line,) = failed(desk.spawn("serve", "--host", "0.0.0.0"))
    assert "gateway.host" in line
    assert "allowed_hosts" in line


@pytest.mark.parametrize("verb", [["serve", "--port", "0"], ["token", "list"], ["token", "create", "payment"]])
def test_a_state_folder_that_cannot_be_is_one_line(desk: Desk, verb: list[str]) -> None:
    desk.write("var", "a file, not a folder")
    run = desk.spawn if verb[0] == "serve" else desk.run
    (line,) = failed(run(*verb))
    assert "gateway.state" in line


def test_a_database_that_is_none_is_one_line(desk: Desk) -> None:
    desk.write("var/toolgate.db", "this is not a database, and long enough to be seen as none" * 100)
    (line,) = failed(desk.run("token", "list"))
    assert "file is not a database" in line


def test_a_key_that_others_may_read_stops_everything(desk: Desk) -> None:
    assert desk.run("token", "list").returncode == 0
    (desk.folder / "var" / "secret.key").chmod(0o644)
    for ran in (desk.run("token", "list"), desk.spawn("serve", "--port", "0")):
        (line,) = failed(ran)
        assert "chmod 600" in line


def test_output_that_nobody_reads_is_no_crash(desk: Desk, tmp_path: Path) -> None:
    reader = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE)
    reader.wait()
    assert reader.stdin is not None
    command = [sys.executable, "-m", "gateway.cli", "token", "list", "--config", str(desk.folder / "gateway.toml")]
    ran = subprocess.run(command, stdout=reader.stdin, stderr=subprocess.PIPE, text=True, timeout=60)
    reader.stdin.close()
    assert (ran.returncode, ran.stderr) == (1, "")


def test_a_problem_is_one_line_whatever_stands_in_the_file(desk: Desk) -> None:
    desk.write("gateway.toml", CONFIG + '"a\\nb" = 1\n[gateway]\n"\\u001b[31m" = 2\n')
    lines = failed(desk.run("check"))
    assert len(lines) == 2
    assert "\x1b" not in "".join(lines)


def test_nothing_of_the_command_line_leaves_a_lock(desk: Desk) -> None:
    assert desk.run("token", "create", "payment").returncode == 0
    with sqlite3.connect(desk.folder / "var" / "toolgate.db", timeout=0) as connection:
        connection.execute("UPDATE tokens SET expires = 1")
    connection.close()

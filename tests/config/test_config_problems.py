"""Each thing that can be wrong with gateway.toml is told by file, key and fix; all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.call import Facts
from gateway.config import Server, check_agents, load, load_without_servers, outline
from gateway.errors import ConfigError, Problem

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path: Path, environ: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return caught.value.problems


def server(lines: str) -> str:
    return f"[servers.shop]\n{lines}\n"


def webhook(url: str = "https://a/", secret: str = f"whsec_{'A' * 32}") -> str:
    return f'[approvals.webhook]\nurl = "{url}"\nsecret = "{secret}"'


URL = 'url = "http://127.0.0.1:9101/mcp"\n'


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("gatway = 1", "gatway", "is not a setting (did you mean gateway?)"),
        ('path = "x"', "path", "is not a setting"),
        ("[gateway]\nmax_bdy = 1", "gateway.max_bdy", "is not a setting (did you mean max_body?)"),
        ("gateway = 3", "gateway", "must be a table"),
        ("[gateway]\nport = true", "gateway.port", "must be a number, not true or false"),
        ("[gateway]\nport = 65536", "gateway.port", "must be at most 65535"),
        ("[gateway]\nport = 1.5", "gateway.port", "must be a whole number"),
        ("[gateway]\nmax_body = 0", "gateway.max_body", "must be more than 0"),
        ("[gateway]\nask_timeout = nan", "gateway.ask_timeout", "must be a finite number"),
        ('[gateway]\nlog_format = "xml"', "gateway.log_format", "must be one of 'auto', 'console' or 'json'"),
        ("[gateway]\nhost = 1", "gateway.host", "must be a string"),
        ('[gateway]\nhost = "0.0.0.0"', "gateway.host", "no Host value beyond it is allowed"),
        ('[gateway]\nhost = ""', "gateway.host", "no Host value beyond it is allowed"),
        ('[gateway]\nallowed_hosts = "x"', "gateway.allowed_hosts", "must be a list"),
        ('[gateway]\nallowed_hosts = ["http://x"]', "gateway.allowed_hosts[0]", "is none of the values"),
        ('[gateway]\nallowed_origins = ["x"]', "gateway.allowed_origins[0]", "is none of the values"),
        ("[breaker]\nwindow = 2\nfailures = 3", "breaker", "would never open"),
        ("[approvals]\nhold = 0", "approvals.hold", "must be more than 0"),
        ('[approvals]\nconsole = "example.com"', "approvals.console", "is not an http or https URL"),
        ('[approvals.webhook]\nurl = "http://a/"', "approvals.webhook.secret", "is missing"),
        (webhook(url="ftp://a/"), "approvals.webhook.url", "is not an http or https URL"),
        (webhook(url="http://u:p@a/"), "approvals.webhook.url", "has credentials in it"),
        (webhook(secret="whsec_c2hvcnQ="), "approvals.webhook.secret", "is no secret of Standard Webhooks"),
        (webhook(secret="c2hvcnQ="), "approvals.webhook.secret", "is no secret of Standard Webhooks"),
        ("[retry]\nbase = 2.0\ncap = 1.0", "retry", "has a cap below its base"),
        ("[retry]\nbudget = 1.1", "retry.budget", "must be at most 1"),
        ("[servers]\nshop = 1", "servers.shop", "must be a table"),
        (server(""), "servers.shop", "has neither url nor command"),
        (server(URL + 'command = "x"'), "servers.shop.command", "stands beside url"),
        (server(URL + 'env = { A = "b" }'), "servers.shop.env", "has no meaning with url"),
        (server('command = "x"\nheaders = { A = "b" }'), "servers.shop.headers", "has no meaning with command"),
        (server('command = ""'), "servers.shop.command", "is empty"),
        (server('url = "ftp://x/mcp"'), "servers.shop.url", "is not an http or https URL"),
        (server('url = "http://x:99999/"'), "servers.shop.url", "is not an http or https URL"),
        (server('url = "http://x/a b"'), "servers.shop.url", "is not an http or https URL"),
        (server('url = "http://me:pw@x/mcp"'), "servers.shop.url", "has credentials in it"),
        (server('url = "http://x/mcp#a"'), "servers.shop.url", "has a fragment"),
        (server(URL + 'headers = { "a b" = "c" }'), "servers.shop.headers.'a b'", "not a possible header name"),
        (server(URL + 'headers = { Host = "b" }'), "servers.shop.headers.Host", "set by the gateway itself"),
        (server(URL + 'headers = { A = "b\\nC: d" }'), "servers.shop.headers.A", "no header can carry"),
        (server('command = "x"\nenv = { "A=" = "b" }'), "servers.shop.env.'A='", "not a possible variable name"),
        (server('command = "x"\nenv = { A = "\\u0000" }'), "servers.shop.env.A", "has a NUL character"),
        (server(URL + 'era = "old"'), "servers.shop.era", "must be one of 'auto', 'legacy' or 'modern'"),
        (server(URL + "timeout = -1"), "servers.shop.timeout", "must be more than 0"),
        (server(URL + 'name = "x"'), "servers.shop.name", "is not a setting"),
        (server(URL + "credentials.buyer = {}"), "servers.shop.credentials.buyer", "is empty"),
        (server(URL + "credentials.buyer = 1"), "servers.shop.credentials.buyer", "must be a table"),
        (
            server('command = "x"\ncredentials.buyer = { "X-Key" = "b" }'),
            "servers.shop.credentials.buyer.X-Key",
            "not a possible variable name",
        ),
        (server(URL + "tools.t.idempotent = 1"), "servers.shop.tools.t.idempotent", "must be true or false"),
        (
            server(URL + "tools.t.idempotnt = true"),
            "servers.shop.tools.t.idempotnt",
            "is not a setting (did you mean idempotent?)",
        ),
        (
            server(URL + 'tools.t.arguments.a.kind = "secrt"'),
            "servers.shop.tools.t.arguments.a.kind",
            "must be one of 'text', 'name', 'sql'",
        ),
        (server(URL + "tools.t.compensate = {}"), "servers.shop.tools.t.compensate.tool", "is missing"),
        (
            server(URL + 'tools.t.compensate = { tool = "t" }'),
            "servers.shop.tools.t.compensate.tool",
            "is the tool that it is to undo",
        ),
        (
            server(URL + 'tools.t.compensate = { tool = "u", with = { a = "$.reslt.x" } }'),
            "servers.shop.tools.t.compensate.with.a",
            "is not a path into the call",
        ),
        ("[audit]\ncheckpoints = 'http://example.com/x'", "audit", "an address that is not https"),
        ("[audit]\nkeep = 60", "audit", "calls that are under way"),
    ],
)
def test_a_wrong_value_is_told_by_its_key(write: Write, text: str, key: str, message: str) -> None:
    found = problems(write(text))
    assert [problem.key for problem in found] == [key]
    assert found[0].file == "gateway.toml"
    assert message in found[0].message
    assert found[0].fix


@pytest.mark.parametrize(
    "name", ["Shop", "1shop", "a__b", "a_", "-a", "toolgate", "a" * 33, "a.b", "sh\u00f6p", "shop\n"]
)
def test_a_server_name_that_cannot_prefix_a_tool_is_refused(write: Write, name: str) -> None:
    quoted = name.replace("\n", "\\n")
    found = problems(write(f'[servers."{quoted}"]\n{URL}'))
    assert [problem.message for problem in found] == ["is not a possible server name"]
    assert "\n" not in str(found[0])


@pytest.mark.parametrize("name", ["a", "git-hub", "a_b-c_9", "a" * 32, "toolgate2"])
def test_a_server_name_of_small_letters_is_taken(write: Write, name: str) -> None:
    assert load(write(f"[servers.{name}]\n{URL}"), {}).servers[name].name == name


def test_all_problems_are_told_at_once_and_in_order(write: Write) -> None:
    path = write(
        "[gateway]\nport = 'x'\nnope = 1\n"
        "[servers.a__b]\n"
        "[servers.shop]\nurl = 'ftp://x'\ncommand = 'y'\ntimeout = 0\nheaders = { A = '${UNSET}' }\n"
    )
    assert [problem.key for problem in problems(path)] == [
        "gateway.nope",
        "gateway.port",
        "servers.a__b",
        "servers.a__b",
        "servers.shop.command",
        "servers.shop.headers.A",
        "servers.shop.timeout",
        "servers.shop.url",
    ]


def test_a_syntax_error_is_told_with_its_line(write: Write) -> None:
    (problem,) = problems(write("[gateway]\nport 8080\n"))
    assert "line 2" in problem.message


@pytest.mark.parametrize("content", [b"a = '\xff'", b"a = " + b"9" * 5000, b"a = " + b"[" * 5000])
def test_a_file_that_cannot_be_read_as_toml_is_a_problem_not_a_crash(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(content)
    assert len(problems(path)) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "none.toml")
    assert problem.file == str(tmp_path / "none.toml")
    assert "No such file" in problem.message


def test_an_empty_file_gives_the_defaults(write: Write) -> None:
    config = load(write(""), {})
    assert (config.gateway.host, config.gateway.port, config.servers) == ("127.0.0.1", 8080, {})


def test_folders_are_relative_to_the_file(write: Write) -> None:
    path = write("[gateway]\nstate = 'run'\n[servers.shop]\ncommand = 'x'\ncwd = 'work'\n")
    config = load(path, {})
    assert config.policies_dir == path.parent / "policies"
    assert config.database == path.parent / "run" / "toolgate.db"
    assert config.servers["shop"].cwd == path.parent / "work"


def test_a_wide_address_is_taken_with_the_names_clients_use(write: Write) -> None:
    path = write('[gateway]\nhost = "0.0.0.0"\nallowed_hosts = ["tools.example.com:*"]')
    assert load(path, {}).gateway.host == "0.0.0.0"


def test_overrides_are_checked_like_the_file(write: Write) -> None:
    path = write("")
    assert load(path, {}, {"port": 0}).gateway.port == 0
    with pytest.raises(ConfigError, match=r"gateway\.host"):
        load(path, {}, {"host": "192.0.2.1"})


def test_facts_of_a_tool_are_what_the_file_declares(write: Write) -> None:
    text = server(URL + 'tools.pay = { idempotent = true, timeout = 5, arguments = { card = { kind = "secret" } } }')
    shop = load(write(text), {}).servers["shop"]
    assert shop.facts("pay") == Facts(True, 5.0, frozenset({"card"}))
    assert shop.facts("other") == Facts()


def test_credentials_of_an_agent_without_policy_are_a_problem(write: Write) -> None:
    config = load(write(server(URL + 'credentials.paymnt = { A = "b" }')), {})
    (problem,) = check_agents(config, {"payment"})
    assert problem.key == "servers.shop.credentials.paymnt"
    assert "did you mean payment?" in problem.message
    assert check_agents(config, {"paymnt"}) == []


def test_without_servers_nothing_of_them_is_needed(write: Write) -> None:
    path = write(server(URL + 'headers = { A = "${UNSET}" }'))
    assert load_without_servers(path, {}).servers == {}


def test_the_outline_of_a_broken_file_still_names_policies_and_servers(write: Write) -> None:
    path = write("[gateway]\nnope = 1\npolicies = '${P}'\n[servers.shop]\n")
    assert outline(path, {"P": "rules"}) == (path.parent / "rules", ["shop"])
    assert outline(path, {}) == (None, ["shop"])


def test_a_loaded_configuration_cannot_be_changed(write: Write) -> None:
    shop = load(write(server(URL)), {}).servers["shop"]
    with pytest.raises(ValueError, match="frozen"):
        shop.timeout = 1.0


def test_a_server_shows_its_name_only() -> None:
    assert repr(Server(name="shop", url="http://x/?key=hunter2")) == str(Server(name="shop")) == "Server('shop')"

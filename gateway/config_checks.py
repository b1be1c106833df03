"""Checks of `gateway.toml` that types cannot express, and pydantic's errors in our words.

Everything here works on the parsed file, so that one wrong value never hides another. Messages name keys,
never values: a value may be a secret.
"""

from __future__ import annotations

import base64
import difflib
import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from types import UnionType
from typing import Any, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError

from gateway.errors import Problem
from gateway.interpolate import Key, dotted

Found = tuple[Key, str, str]
"""Where, what and how to mend it."""

_SERVER_NAME = re.compile(r"[a-z](_?[a-z0-9-])*")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:([0-9]{1,5}|\*))?"
_URL = re.compile(r"[\x21-\x7e]+")
_CALL_PATH = re.compile(r"\$\.(arguments|result)(\.[^.\s]+)+")

_PLACED = ("path", "name")
"""Fields of `Config` and `Server` that the loader fills in: in the file they are unknown keys."""


_OWN_HEADERS = frozenset(
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer", "upgrade", "expect"]
)
"""Headers that belong to one connection or message: given in a configuration they could only confuse."""


def nearest(name: str, known: Collection[str]) -> str:
    """` (did you mean ...?)` when a known name is close to `name`, else nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def check_relations(file: str, data: Mapping[str, Any]) -> Iterator[tuple[Key, Problem]]:
    """Every problem in how the values of the parsed file agree with each other, with its key."""
    found = [*_gateway(_table(data, "gateway")), *_approvals(_table(data, "approvals"))]
    if "path" in data:
        found.append((("path",), "is not a setting", "remove it"))
    for name, server in _table(data, "servers").items():
        key = ("servers", name)
        found += _server_name(key, name)
        if isinstance(server, dict):
            found += _server(key, server)
    for where, message, fix in found:
        yield where, Problem(file, dotted(where), message, fix)


def _table(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The table `name`; empty when it is absent or no table, which the models complain about."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _gateway(gateway: Mapping[str, Any]) -> Iterator[Found]:
    host = gateway.get("host")
    if isinstance(host, str) and not _is_loopback(host) and not gateway.get("allowed_hosts"):
        yield (
            ("gateway", "host"),
            "listens beyond loopback, but no Host value beyond it is allowed: all requests would be refused",
            'set gateway.allowed_hosts to the names clients use, such as ["tools.example.com:*"]',
        )
    if isinstance(url := gateway.get("database"), str) and not _is_postgresql(url):
        yield (
            ("gateway", "database"),
            "is not the URL of a PostgreSQL database",
            'write it like "postgresql://toolgate@db.example.com/toolgate", with %40 for @ and the like in a password, '
            "or leave it out for SQLite",
        )
    if isinstance(url := gateway.get("address"), str):
        yield from _address(("gateway", "address"), url, "http://gateway-1:8080")
    yield from _each_host(gateway, "allowed_hosts", "", "tools.example.com:*")
    yield from _each_host(gateway, "allowed_origins", "https?://", "https://tools.example.com")


def _is_postgresql(url: str) -> bool:
    """No part of a password may be taken for a host, which errors would show."""
    try:
        parts = urlsplit(url)
        whole = parts.scheme == "postgresql" and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    return whole and parts.netloc.count("@") == url.count("@") <= 1 and not parts.fragment and len(parts.path) > 1


def _each_host(gateway: Mapping[str, Any], name: str, scheme: str, example: str) -> Iterator[Found]:
    values = gateway.get(name)
    for position, value in enumerate(values if isinstance(values, list) else []):
        if isinstance(value, str) and not re.fullmatch(scheme + _HOST, value):
            yield ("gateway", name, position), "is none of the values such a header has", f'write "{example}"'


def _approvals(approvals: Mapping[str, Any]) -> Iterator[Found]:
    if isinstance(console := approvals.get("console"), str):
        yield from _address(("approvals", "console"), console, "https://tools.example.com/console")
    webhook = _table(approvals, "webhook")
    if isinstance(url := webhook.get("url"), str):
        yield from _address(("approvals", "webhook", "url"), url, "https://hooks.example.com/toolgate")
    secret = webhook.get("secret")
    if isinstance(secret, str) and not _is_webhook_secret(secret):
        yield (
            ("approvals", "webhook", "secret"),
            "is no secret of Standard Webhooks",
            "write whsec_ and the Base64 of 24 to 64 random bytes, such as the receiver shows",
        )


def _address(key: Key, url: str, example: str) -> Iterator[Found]:
    for where, message, _ in _url(key, url):
        yield where, message, f'write it like "{example}"'


def _is_webhook_secret(secret: str) -> bool:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        return False
    return secret.startswith("whsec_") and 24 <= len(key) <= 64


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _server_name(key: Key, name: str) -> Iterator[Found]:
    if not _SERVER_NAME.fullmatch(name) or len(name) > 32 or name == "toolgate":
        yield (
            key,
            "is not a possible server name",
            "use at most 32 of a-z, 0-9, - and single _ between them, a letter first; toolgate is taken",
        )


def _server(key: Key, server: Mapping[str, Any]) -> Iterator[Found]:
    has_url, has_command = "url" in server, "command" in server
    if has_url and has_command:
        yield (*key, "command"), "stands beside url", "keep one: url for HTTP, command for a process"
    if not has_url and not has_command:
        yield key, "has neither url nor command", 'add url = "http://..." or command = "..."'
    if "name" in server:
        yield (*key, "name"), "is not a setting", "remove it: the name is that of the table"
    if has_url != has_command:
        foreign = ("args", "env", "cwd") if has_url else ("headers",)
        for name in foreign:
            if name in server:
                yield (*key, name), f"has no meaning with {'url' if has_url else 'command'}", "remove it"
    if isinstance(url := server.get("url"), str):
        yield from _url((*key, "url"), url)
    if server.get("command") == "":
        yield (*key, "command"), "is empty", "name the program to start"
    yield from _pairs((*key, "headers"), _table(server, "headers"), _header)
    yield from _pairs((*key, "env"), _table(server, "env"), _variable)
    for agent, values in _table(server, "credentials").items():
        yield from _pairs((*key, "credentials", agent), values, _header if has_url else _variable)
        if values == {}:
            yield (
                (*key, "credentials", agent),
                "is empty",
                "give it a header or variable, or remove the agent",
            )
    for tool, facts in _table(server, "tools").items():
        yield from _compensate((*key, "tools", tool, "compensate"), facts)


def _url(key: Key, url: str) -> Iterator[Found]:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _URL.fullmatch(url):
        yield key, "is not an http or https URL", 'write it like "http://127.0.0.1:9101/mcp"'
    elif "@" in parts.netloc:
        yield key, "has credentials in it", "give them in headers or credentials instead"
    elif parts.fragment:
        yield key, "has a fragment", "remove # and what follows"


def _pairs(key: Key, values: Any, problem_of: Callable[[str, str], tuple[str, str] | None]) -> Iterator[Found]:
    if not isinstance(values, dict):
        return
    for name, value in values.items():
        if isinstance(value, str) and (problem := problem_of(name, value)):
            yield (*key, name), *problem


def _header(name: str, value: str) -> tuple[str, str] | None:
    if not _HEADER_NAME.fullmatch(name):
        return "is not a possible header name", "use letters, digits and hyphens"
    if name.lower() in _OWN_HEADERS:
        return "is set by the gateway itself", "remove it"
    if not _HEADER_VALUE.fullmatch(value):
        return "has a character that no header can carry", "remove line breaks and control characters"
    return None


def _variable(name: str, value: str) -> tuple[str, str] | None:
    if not _VARIABLE_NAME.fullmatch(name):
        return "is not a possible variable name", "use letters, digits and _, no digit first"
    if "\0" in value:
        return "has a NUL character in it", "remove it"
    return None


def _compensate(key: Key, facts: Any) -> Iterator[Found]:
    compensate = facts.get("compensate") if isinstance(facts, dict) else None
    if not isinstance(compensate, dict):
        return
    if compensate.get("tool") == key[-2]:
        yield (*key, "tool"), "is the tool that it is to undo", "name the tool that undoes it"
    for name, value in _table(compensate, "with").items():
        if isinstance(value, str) and value.startswith("$") and not _CALL_PATH.fullmatch(value):
            yield (
                (*key, "with", name),
                "is not a path into the call",
                "write $.arguments.NAME or $.result.NAME; a literal cannot start with $",
            )


def translate(file: str, model: type[BaseModel], error: ValidationError) -> Iterator[tuple[Key, Problem]]:
    """The errors of `model` in our words, each with its key, without any value."""
    for entry in error.errors(include_url=False, include_context=True, include_input=False):
        key: Key = entry["loc"]
        message, fix = _worded(model, key, entry["type"], entry.get("ctx", {}), entry["msg"])
        yield key, Problem(file, dotted(key), message, fix)


def _worded(model: type[BaseModel], key: Key, kind: str, context: Mapping[str, Any], own: str) -> tuple[str, str]:
    """Message and fix for one pydantic error of type `kind`; `own` is the text of an error raised by us."""
    if kind == "extra_forbidden":
        known = _known_keys(model, key[:-1])
        return (
            f"is not a setting{nearest(str(key[-1]), known)}",
            f"use one of {', '.join(known)}, or remove it",
        )
    if kind == "missing":
        return "is missing", "add it"
    if kind == "toolgate":
        return own, context["fix"]
    if kind in _BOUNDS:
        bound = next(value for name, value in context.items() if name in ("gt", "ge", "lt", "le"))
        return f"must be {_BOUNDS[kind]} {bound:g}", "change the number"
    if kind == "literal_error":
        return f"must be one of {context['expected']}", "use one of them"
    for prefix, (wanted, fix) in _SHAPES.items():
        if kind.startswith(prefix):
            return f"must be {wanted}", fix
    return "is not valid", "correct the value"


_BOUNDS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
_SHAPES = {
    "int_": ("a whole number", "write it without quotes or fraction"),
    "float_": ("a number", "write it without quotes"),
    "finite_number": ("a finite number", "write a number"),
    "bool_": ("true or false", "write true or false without quotes"),
    "string_": ("a string", "put it in quotes"),
    "path_": ("a string", "put it in quotes"),
    "tuple_": ("a list", 'write it like ["one", "two"]'),
    "dict_": ("a table", "write it like { name = value }, or as a [section]"),
    "model_": ("a table", "write it like { name = value }, or as a [section]"),
}


def _known_keys(model: type[BaseModel], key: Key) -> list[str]:
    """The keys a table may have that stands at `key` in a file of shape `model`."""
    shape: Any = model
    for step in key:
        if isinstance(shape, type) and issubclass(shape, BaseModel):
            shape = next(f.annotation for n, f in shape.model_fields.items() if step in (n, f.alias))
        else:
            shape = get_args(shape)[1]
        if get_origin(shape) is UnionType:
            shape = next(part for part in get_args(shape) if part is not type(None))
    return sorted((f.alias or n) for n, f in shape.model_fields.items() if n not in _PLACED)

"""From the declared kinds of a tool's arguments to the rules that check them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.call import ArgumentRule
from gateway.rules import amounts, markup, patterns, words
from gateway.rules.path import path_rule
from gateway.rules.sql import sql_rule
from gateway.rules.text import check_text, visible
from gateway.rules.url import url_rule

StringRule = Callable[[str], str]


class ArgumentSpec(Protocol):
    """What the operator declared about one argument; the fields beside `kind` belong to one kind each."""

    @property
    def kind(self) -> str: ...
    @property
    def dialect(self) -> str | None: ...
    @property
    def write(self) -> bool: ...
    @property
    def tables(self) -> Sequence[str] | None: ...
    @property
    def functions(self) -> Sequence[str] | None: ...
    @property
    def schemes(self) -> Sequence[str]: ...
    @property
    def hosts(self) -> Sequence[str] | None: ...
    @property
    def roots(self) -> Sequence[str] | None: ...
    @property
    def commands(self) -> Sequence[str] | None: ...


def compile_rules(arguments: Mapping[str, ArgumentSpec]) -> Mapping[str, ArgumentRule]:
    """The rule of each argument, by name. The rule of an argument that is not among them is `text.check_text`."""
    return {name: _optional(_rule(spec)) for name, spec in arguments.items()}


def _rule(spec: ArgumentSpec) -> ArgumentRule:
    if spec.kind == "text":
        return check_text
    if spec.kind == "money":
        return amounts.check_money
    if spec.kind == "secret":
        return words.check_secret
    if spec.kind == "argv":
        return words.argv_rule(spec.commands)
    return _each(visible(_of_strings(spec)))


def _of_strings(spec: ArgumentSpec) -> StringRule:
    """The rule of a kind that is written as one string. Raises KeyError for a kind that nobody wrote a rule for."""
    if spec.kind == "sql":
        return sql_rule(spec.dialect or "", write=spec.write, tables=spec.tables, functions=spec.functions)
    if spec.kind == "url":
        return url_rule(spec.schemes, spec.hosts)
    if spec.kind == "path":
        return path_rule(spec.roots)
    return _PLAIN[spec.kind]


_PLAIN: Mapping[str, StringRule] = {
    "name": words.check_name,
    "shell_word": words.check_shell_word,
    "email": words.check_email,
    "html": markup.clean_html,
    "regex": patterns.check_regex,
}


def _each(check: StringRule) -> ArgumentRule:
    """A rule for a string, as one for a string or a list of strings."""

    def rule(value: Any) -> Any:
        if isinstance(value, str):
            return check(value)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return [check(item) for item in value]
        raise ValueError("must be a string, or a list of strings")

    return rule


def _optional(rule: ArgumentRule) -> ArgumentRule:
    """null is no value: whether an argument may be left out is a matter of the tool's schema."""
    return lambda value: None if value is None else rule(value)

"""Short strings with a fixed shape: names, words and arguments of commands, addresses of e-mail, secrets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.call import ArgumentRule
from gateway.rules.text import check_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}")
_SHELL_WORD = re.compile(r"(?!-)[A-Za-z0-9_./:=@%+,-]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*")
"""HTML Living Standard, "valid e-mail address"; lengths of RFC 5321, 4.5.3.1."""
_LONGEST_EMAIL = 254
_LONGEST_WORD = 4096


def check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be a name: 1 to 128 letters, digits and _ . - : @, beginning with a letter or digit")
    return value


def check_shell_word(value: str) -> str:
    if len(value) > _LONGEST_WORD or not _SHELL_WORD.fullmatch(value):
        raise ValueError("must be one plain word: letters, digits and _ . / : = @ % + , - without a - in front")
    return value


def check_email(value: str) -> str:
    if len(value) > _LONGEST_EMAIL or not _EMAIL.fullmatch(value):
        raise ValueError("must be one e-mail address like user@example.com, without a display name")
    return value


def check_secret(value: Any) -> Any:
    """Any string: what a secret looks like is its server's matter."""
    if not isinstance(value, str):
        raise ValueError("must be a string")
    return value


def argv_rule(commands: Sequence[str] | None) -> ArgumentRule:
    """A program and its arguments, one string each: no shell reads them, so nothing in them has to be escaped."""

    def rule(value: Any) -> Any:
        if not isinstance(value, list) or not value or not all(isinstance(word, str) for word in value):
            raise ValueError("must be a list of strings: a program and each of its arguments")
        check_text(value)
        if any(_CONTROL.search(word) for word in value):
            raise ValueError("must be a list of strings without control characters and line breaks")
        if not value[0] or (commands is not None and value[0] not in commands):
            known = "a program" if commands is None else " or ".join(commands)
            raise ValueError(f"must be a list that begins with {known}")
        return value

    return rule

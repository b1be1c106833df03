"""What a text looks like. A signal is a hint for whoever reads the log: text is data, and these patterns are coarse."""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from gateway.rules.unicode import has_controls

_B = r"[\s/*]{1,20}"
"""What may stand between two words of SQL."""
_SQL = rf"""(?ix)
  \bunion{_B}(all{_B}|distinct{_B})?select\b
| \b(drop|truncate|alter|create){_B}(table|database|schema|view|user)\b
| \binsert{_B}into\b | \bdelete{_B}from\b | \bupdate\s+[\w.]+\s+set\b
| \bselect\b[^;]{{1,200}}\bfrom\b\s+[\w."\[`\]]{{1,80}}\s*(;|--|$|\b(where|limit|order|group|join|union)\b)
| ['"]\s*\)*\s*(or|and)\b\s*\(*\s*['"\d] | \b(or|and)\b\s+\d+\s*=\s*\d+
| ['"]\s*;?\s*(--|\#|/\*) | ;\s*(drop|delete|update|insert|exec|shutdown)\b
| \b(sleep|benchmark|pg_sleep|xp_cmdshell|load_file|waitfor\s+delay)\b\s*['(]
"""
_SHELL = r"""(?ix)
  \$\([^)\s] | \$\{(ifs|path|home)\b
| (;|\|\|?|&&|`)\s*(cat|ls|id|whoami|uname|curl|wget|nc|ncat|bash|sh|zsh|python3?|perl|ruby|php|rm|chmod|chown|ping
  |sleep|nslookup|dig|powershell|cmd|echo|env|sudo|kill)\b
| (>|<)\s*/(dev|etc|tmp|proc)/ | /bin/(ba|z|da)?sh\b | \brm\s+-[a-z]*[rf] | /etc/(passwd|shadow)\b
"""
_MARKUP = r"""(?ix)
  <\s*(script|iframe|object|embed|svg|math|style|link|meta|base|form|img|body|html|input|button|video|audio)\b
| <!(doctype|\[cdata|--|entity) | <\?(php|xml)\b | \{\{[^}]{1,200}\}\} | \b(javascript|vbscript)\s*:
| \bon(error|load|click|focus|mouse\w{2,5}|toggle|begin|start)\s*=
"""


def _compiled(pattern: str) -> jsonschema_rs.Validator:
    """A test for a pattern, in an engine that takes linear time."""
    options = jsonschema_rs.RegexOptions()
    # Word boundaries of Unicode would need a slower engine as soon as a text has an umlaut.
    plain = pattern.replace(r"\b", r"(?-u:\b)")
    return jsonschema_rs.Draft202012Validator({"pattern": plain}, pattern_options=options)


_KINDS = {"sql": _compiled(_SQL), "shell": _compiled(_SHELL), "markup": _compiled(_MARKUP)}


def signals(value: Any) -> frozenset[str]:
    """What some string in `value`, at any depth, looks like ("sql", "shell", "markup") or holds ("control")."""
    found: set[str] = set()
    for text in _strings(value):
        if has_controls(text):
            found.add("control")
        if len(text) > 3:
            found.update(name for name, pattern in _KINDS.items() if pattern.is_valid(text))
    return frozenset(found)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in _strings(one)]

"""What upstreams publish about themselves, without the secrets that are in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.rules.results import rewrite
from gateway.rules.secrets import Secrets
from gateway.rules.skeleton import plain


def publishable(entry: Mapping[str, Any], secrets: Secrets, key: str | None = None) -> Mapping[str, Any] | None:
    """`entry` masked, the same object when there is nothing to mask; `key` is the field that names it.

    None when it cannot be published: a name that is masked is the name of nothing.
    """
    if not secrets.within(plain(orjson.dumps(entry))):
        return entry
    masked: Mapping[str, Any] = rewrite(entry, secrets.masked, numbers=True)
    named = key is None or masked.get(key) == entry[key]
    return masked if named and not secrets.within(plain(orjson.dumps(masked))) else None

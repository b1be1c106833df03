"""What an era puts around results, and what the gateway says of it where an upstream says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.mcp_face.wire import dressed

READ = {"contents": [], "x-vendor": 1}


@pytest.mark.parametrize("scope", ["public", "private", None, 7])
def test_what_one_agent_reads_is_never_for_a_cache_that_others_share(scope: Any) -> None:
    result = dressed({**READ, "resultType": "complete", "ttlMs": 5, "cacheScope": scope}, "modern", cacheable=True)
    assert result == {**READ, "resultType": "complete", "ttlMs": 5, "cacheScope": "private"}


@pytest.mark.parametrize(("told", "expected"), [({"ttlMs": 60_000}, 60_000), ({"ttlMs": 0}, 0), ({}, 0)])
def test_how_long_it_keeps_is_the_upstreams_word_or_not_at_all(told: dict[str, int], expected: int) -> None:
    assert dressed({**READ, **told}, "modern", cacheable=True)["ttlMs"] == expected


def test_a_legacy_client_sees_none_of_it() -> None:
    enveloped = {**READ, "resultType": "complete", "ttlMs": 5, "cacheScope": "public"}
    assert dressed(enveloped, "legacy", cacheable=True) == READ

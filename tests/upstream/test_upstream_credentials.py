"""Each credential reaches the server it is for, with its own calls only, and nothing else."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from upstream_depot import Depot
from upstream_parts import Spec, call, text

from gateway.call import Credential, Silent
from gateway.errors import UpstreamError


def credential(number: int) -> Credential:
    return Credential(f"agent-{number}", {"authorization": f"Bearer key-{number}"})


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_of_fifty_callers_at_once_none_gets_anothers_credential(connect: Any, http: Any, era: Any) -> None:
    depot = Depot()
    spec = Spec(url=(await http(depot.app)).url, era=era, headers={"Authorization": "Bearer own"})
    upstream, _ = await connect(spec)

    async def who(number: int) -> str:
        own = credential(number % 25) if number else None
        return text(await upstream.request("tools/call", call("whoami"), peer=Silent(), credential=own))

    said = await asyncio.gather(*(who(number) for number in range(50)))
    assert said == ["Bearer own"] + [f"Bearer key-{number % 25}" for number in range(1, 50)]


async def test_a_credential_is_nowhere_to_be_seen(connect: Any, http: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "toolgate")
    served = await http(Depot().app)
    upstream, _ = await connect(Spec(url=served.url, headers={"Authorization": "Bearer own-secret"}))
    secret = Credential("a", {"Authorization": "Bearer agent-secret"})
    with pytest.raises(UpstreamError) as failed:
        await upstream.request("tools/call", call("fail"), peer=Silent(), credential=secret)
    await served.stop()
    shown = (
        caplog.text + repr(secret) + repr(failed.value) + repr(vars(upstream)) + repr(vars(upstream._link or upstream))
    )
    assert "agent-secret" not in shown

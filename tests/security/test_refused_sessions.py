"""An `initialize` that is refused leaves nothing behind that other agents would have to pay for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_inside import inside
from raw_client import HELLO, eventually, post

FEW = "[throttle]\nper_second = 0.001\nburst = 2\n"


@pytest.mark.parametrize("params", [HELLO, {"protocolVersion": 7}])
async def test_refused_openings_of_one_agent_do_not_shut_out_another(tmp_path: Path, params: Any) -> None:
    async with inside(tmp_path, ["ada", "bob"], FEW) as opened:
        ada = opened.legacy("ada")
        await ada.open()
        face = opened.legacy_face()
        face._manager.max_sessions = 10
        body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).encode()
        replies = [await post(ada.session, ada.url, ada.headers, body) for _ in range(12)]
        assert all("error" in reply.message for reply in replies[1:])
        await opened.legacy("bob").open()
        live = 2 + sum("error" not in reply.message for reply in replies)
        await eventually(lambda: len(face._manager._server_instances) == live, 2)

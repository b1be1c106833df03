"""Stands for a gateway: runs one stdio upstream, prints the ids of the processes behind it, and goes on."""

import asyncio
import sys

from upstream_parts import Spec, call

from gateway.call import Silent
from gateway.upstream import Upstream


async def main() -> None:
    spec = Spec(command=sys.executable, args=(sys.argv[1], "stubborn"), era="legacy")
    upstream = Upstream(spec, on_listing=lambda _: None, on_notice=lambda *_: None)
    running = asyncio.create_task(upstream.run())
    await upstream.ready.wait()
    family = await upstream.request("tools/call", call("family"), peer=Silent())
    print(*family["said"], flush=True)
    await running


asyncio.run(main())

"""`python -m agents.demo`: play the scenes. `python -m agents.demo --serve`: keep the shop open."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from agents.demo import desk, evidence, people, scenes
from agents.demo.scenes import Surprise, say
from agents.demo.shop import ROOT, NotStarted, Shop

NEXT = """
Try next
--------
  make serve        the same shop, kept open; it prints commands to type beside it
  policies/         the policy files you just saw at work; docs/policy.md says how to write one
  gateway.toml      the servers; docs/configuration.md explains every key
  README.md         how to put your own servers and agents on it, Claude Code among them
"""

SCENES = (
    scenes.order,
    scenes.declined,
    scenes.overreach,
    scenes.bound,
    people.consent,
    people.killed,
    scenes.injection,
    scenes.outage,
)

SERVING = """The shop is open. Ctrl-C closes it.

  gateway   {url}/mcp
  tokens    {tokens}
  logs      {folder}/*.log
  metrics   {url}/metrics
  console   {url}/console, where the reviewer kim decides; Kim's token is in {reviewers}

In another terminal:
  . {exports}
  .venv/bin/python -m agents order --file agents/examples/order.json --tokens {tokens} --model scripted:order
  .venv/bin/toolgate tools --agent payment
  .venv/bin/python -m agents loop --agent support --task '{task}' --tokens {tokens} --model scripted:refund
  .venv/bin/toolgate approvals list                    # in a third terminal: the refund waits for Kim
  claude mcp add --transport http toolgate {url}/mcp --header "Authorization: Bearer {token}"
"""


def main() -> int:
    """0 when every scene ended as it should, 1 when one did not or the shop could not be started."""
    parser = argparse.ArgumentParser(prog="python -m agents.demo", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="keep the shop open instead of playing the scenes")
    parser.add_argument("--folder", type=Path, help="play in this new folder, and keep what was written there")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return _serve() if arguments.serve else _play(arguments.folder)
    except (NotStarted, Surprise) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("\nClosed.")
        return 0 if arguments.serve else 130


def _play(kept: Path | None) -> int:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="toolgate-demo-") as folder:
        say("Starting eight tool servers and the gateway on free ports ...")
        with Shop((kept or Path(folder)).resolve()) as shop:
            say(f"Ready after {time.monotonic() - started:.1f} seconds: the gateway is at {shop.url}/mcp.")
            for scene in SCENES:
                scene(shop)
            evidence.audit_log(shop)
            evidence.metrics(shop)
            desk.answered(shop)
    say(NEXT)
    say(f"All scenes ended as they should, in {time.monotonic() - started:.0f} seconds. Nothing is left running.")
    return 0


def _serve() -> int:
    folder = ROOT / "var"
    with Shop(folder, gateway_port=int(os.environ.get("TOOLGATE_PORT", "8080")), base_port=9101) as shop:
        exports, tokens = folder / "shop.env", folder / "tokens.json"
        exports.touch(mode=0o600)
        exports.write_text(shop.exports())
        files = {"exports": exports, "tokens": tokens, "reviewers": folder / "reviewers.json", "folder": folder}
        here = {name: file.relative_to(ROOT) for name, file in files.items()}
        say(SERVING.format(url=shop.url, token=shop.tokens["support"], task=people.TASK, **here))
        while True:
            signal.pause()


if __name__ == "__main__":
    sys.exit(main())

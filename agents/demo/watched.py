"""Commands that the demonstration types in front of whoever watches, and agents that work beside it."""

from __future__ import annotations

import contextlib
import queue
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from agents.demo.scenes import Surprise, say
from agents.demo.shop import ROOT, Shop, inherited, toolgate

PATIENCE = 30.0
"""Seconds that a line of a working agent may take to come."""
_SCREEN = threading.Lock()
"""Held from a command to its output, so that no line of an agent stands between them."""


@dataclass(slots=True)
class Working:
    """An agent at work in a process of its own; its lines are shown, indented, as they come."""

    child: subprocess.Popen[str]
    lines: queue.SimpleQueue[str | None] = field(default_factory=queue.SimpleQueue)

    def show(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            with _SCREEN:
                say(f"  {line.rstrip()}")
            self.lines.put(line)
        self.lines.put(None)

    def wait_for(self, text: str) -> None:
        """Return when a line with `text` has been shown. Raises Surprise when none comes."""
        until = time.monotonic() + PATIENCE
        with contextlib.suppress(queue.Empty):
            while (line := self.lines.get(timeout=max(0.0, until - time.monotonic()))) is not None:
                if text in line:
                    return
        raise Surprise(f"the agent never said {text!r}")


@contextlib.contextmanager
def working(shop: Shop, *arguments: str) -> Iterator[Working]:
    """`python -m agents ...` with the shop's gateway and tokens; killed when the block ends, if it still works then."""
    more = ["--gateway", f"{shop.url}/mcp", "--tokens", str(shop.folder / "tokens.json")]
    say(f"$ python -m agents {shlex.join(arguments)}")
    child = subprocess.Popen(
        [sys.executable, "-m", "agents", *arguments, *more],
        cwd=ROOT,
        env=inherited(shop.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    agent = Working(child)
    reader = threading.Thread(target=agent.show, daemon=True)
    reader.start()
    try:
        yield agent
    finally:
        child.kill()
        child.wait()
        reader.join()


def typed(shop: Shop, *arguments: str, token: str = "", hidden: bool = False) -> str:
    """What `toolgate ...` prints, shown with the command unless `hidden`; `token` is a reviewer's.

    Raises Surprise when it fails.
    """
    command = [toolgate(), *arguments, "--config", str(ROOT / "gateway.toml")]
    here = inherited({**shop.environment, "TOOLGATE_REVIEWER_TOKEN": token})
    with _SCREEN:
        done = subprocess.run(command, env=here, cwd=ROOT, capture_output=True, text=True, check=False)
        if not hidden or done.returncode != 0:
            say(f"$ toolgate {shlex.join(arguments)}")
            for line in (done.stdout + done.stderr).splitlines():
                say(f"  {line}".rstrip())
    if done.returncode != 0:
        raise Surprise(f"the command ended with status {done.returncode}")
    return done.stdout

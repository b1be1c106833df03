"""What the guard costs: CPU time of the whole control around a clean result, best of several rounds.

python bench/guard.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import string
import sys
import time
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.call import Call, Facts, Principal, Result, Silent, Tool
from gateway.controls.guard import Guard
from gateway.metrics import Metrics
from gateway.rules.secrets import Secrets

MIB = 1_048_576
SECRETS = 24


def made() -> dict[str, Result]:
    """Results by name."""
    draw = random.Random(7)
    words = ["".join(draw.choices(string.ascii_lowercase, k=draw.randint(2, 10))) for _ in range(3000)]
    prose = " ".join(draw.choices(words, k=170_000))[: MIB - 1024]
    lines = "\n".join(prose[start : start + 60] for start in range(0, len(prose), 61))
    rows = [{"id": number, "name": draw.choice(words), "price": number / 4} for number in range(22_000)]
    data = "".join(draw.choices(string.ascii_letters + string.digits + "+/", k=MIB - 1024))
    return {
        "small text": text("in stock: 12 of LAMP-01"),
        "small structured": {**text('{"stock":12}'), "structuredContent": {"stock": 12, "sku": "LAMP-01"}},
        "4 KiB text": text(lines[:4096]),
        "1 MiB prose": text(prose),
        "1 MiB in lines": text(lines),
        "1 MiB rows": {"content": [], "structuredContent": {"rows": rows}},
        "1 MiB accented": text(prose.replace("e", "\u00e9")[: MIB - 100_000]),
        "1 MiB image": {"content": [{"type": "image", "mimeType": "image/png", "data": data}]},
    }


def text(content: str) -> Result:
    return {"content": [{"type": "text", "text": content}]}


async def best(guard: Guard, call: Call, result: Result, rounds: int, repeat: int) -> float:
    """Seconds of CPU for one call that is answered with `result`."""

    async def below(call: Call) -> Result:
        return result

    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(repeat):
            if await guard(call, below) is not result:
                raise SystemExit("a clean result was changed")
        taken.append((time.process_time() - begun) / repeat)
    return min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds: int = parser.parse_args().rounds
    draw = random.Random(3)
    values = ["".join(draw.choices(string.ascii_letters + string.digits + "-_", k=40)) for _ in range(SECRETS)]
    begun = time.process_time()
    secrets = Secrets.of(values)
    print(f"{SECRETS} secrets made ready in {(time.process_time() - begun) * 1000:.1f} ms")
    audit: Any = None  # of a clean result nothing is told
    guard = Guard(secrets, 2 * MIB, audit, Metrics())
    tool = Tool("shop", "look", {"name": "look"}, Facts(), lambda arguments: None)
    call = Call(
        id="c1",
        principal=Principal("ada", "t1"),
        server="shop",
        tool="look",
        arguments={},
        peer=Silent(),
        era="modern",
        definition=tool,
    )
    for name, result in made().items():
        size = len(orjson.dumps(result))
        seconds = asyncio.run(best(guard, call, result, rounds, 2000 if size < 10_000 else 1))
        print(f"{name:18} {size:9,} bytes {seconds * 1e6:10.1f} us")


if __name__ == "__main__":
    main()

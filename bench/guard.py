"""What the guard costs: CPU time of one look at a clean result, best of several rounds.

python bench/guard.py [--rounds 9]
"""

from __future__ import annotations

import argparse
import random
import string
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

sys.path.insert(0, str(Path(__file__).parents[1]))

from gateway.call import Call, Facts, Principal, Silent, Tool
from gateway.rules.screen import Screen
from gateway.rules.secrets import Secrets

MIB = 1_048_576
SECRETS = 24


def made() -> dict[str, dict[str, Any]]:
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


def text(content: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": content}]}


def look(call: Call, secrets: Secrets, result: dict[str, Any]) -> None:
    if Screen(call, secrets, 2 * MIB).result(result) is not result:
        raise SystemExit("a clean result was changed")


def best(run: Callable[[], None], rounds: int, repeat: int) -> float:
    """Seconds of CPU for one run."""
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(repeat):
            run()
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
        repeat = 2000 if size < 10_000 else 1
        seconds = best(lambda result=result: look(call, secrets, result), rounds, repeat)  # type: ignore[misc]
        print(f"{name:18} {size:9,} bytes {seconds * 1e6:10.1f} us")


if __name__ == "__main__":
    main()

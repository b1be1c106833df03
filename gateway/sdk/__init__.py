"""Two pure modules of the MCP SDK, without the SDK around them: `gateway.sdk.inbound`, `gateway.sdk.uri_template`.

Importing `mcp.shared.anything` runs `mcp/__init__`, which imports the SDK's whole client and server: a fifth of
the gateway's memory and start-up time, for protocol helpers that need none of it. What does need it
(the legacy era) imports it when it is first used. The stubs beside this file say what type checkers see.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path


def _load(name: str) -> None:
    package = find_spec("mcp")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "shared" / f"{name}.py"
    spec = spec_from_file_location(f"{__name__}.{name}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = module_from_spec(spec)
    spec.loader.exec_module(module)


_load("inbound")
_load("uri_template")

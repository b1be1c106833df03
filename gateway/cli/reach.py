"""A trial connection to every server, for verbs that ask what is there."""

from __future__ import annotations

import asyncio
import logging

from gateway.app import Finding, connect_all
from gateway.config import Config


def reach(config: Config) -> list[Finding]:
    """What each server offers, or why it cannot be reached. The findings say it: the log stays silent."""
    logging.getLogger("toolgate").addHandler(logging.NullHandler())
    return asyncio.run(connect_all(config))

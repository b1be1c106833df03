"""HTML: forwarded as what a browser can show without running anything."""

from __future__ import annotations


def clean_html(value: str) -> str:
    """The markup without scripts, handlers, styles, frames and unsafe links, as nh3 (ammonia) leaves it."""
    import nh3  # only gateways that have such an argument load it

    return nh3.clean(value)

"""The dashboards in a real Grafana, as pictures. Opt-in: TOOLGATE_GRAFANA names the folder Grafana is installed in, and
the pictures go to the folder that TOOLGATE_PICTURES names.
"""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from boards import FOLDER, NAMES
from playwright.async_api import async_playwright
from processes import free_port, listening, running
from test_panels import Watched, watched

__all__ = ["watched"]

HOME = os.environ.get("TOOLGATE_GRAFANA", "")
pytestmark = [
    pytest.mark.skipif(not HOME, reason="TOOLGATE_GRAFANA does not name the folder of a Grafana"),
    pytest.mark.xdist_group("panels"),
]


def provisioned(folder: Path, prometheus: int, port: int) -> dict[str, str]:
    """Grafana's environment: anybody may look, its data in `folder`, the dashboards and one data source loaded."""
    for kind, text in (
        ("datasources", f"datasources: [{{name: p, type: prometheus, uid: p, url: http://127.0.0.1:{prometheus}}}]\n"),
        ("dashboards", f"providers: [{{name: toolgate, type: file, options: {{path: {FOLDER}}}}}]\n"),
    ):
        (folder / "provisioning" / kind).mkdir(parents=True)
        (folder / "provisioning" / kind / "toolgate.yml").write_text(f"apiVersion: 1\n{text}")
    return os.environ | {
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_PATHS_DATA": str(folder / "data"),
        "GF_PATHS_LOGS": str(folder / "logs"),
        "GF_PATHS_PROVISIONING": str(folder / "provisioning"),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
    }


def got(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
        return json.load(response)


@pytest.mark.timeout(300)
async def test_grafana_shows_every_dashboard_without_an_error(watched: Watched, tmp_path: Path) -> None:
    port, pictures = free_port(), Path(os.environ.get("TOOLGATE_PICTURES", tmp_path))
    environ = provisioned(tmp_path, watched.prometheus, port)
    command = [str(Path(HOME) / "bin" / "grafana"), "server", "--homepath", HOME]
    with running(command, lambda: listening(port), tmp_path / "grafana.log", environ):
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for name in NAMES:
                uid = name.removesuffix(".json")
                assert got(port, f"/api/dashboards/uid/{uid}")["dashboard"]["title"].startswith("Toolgate: ")
                page = await browser.new_page(viewport={"width": 1600, "height": 2600})
                await page.goto(f"http://127.0.0.1:{port}/d/{uid}?kiosk&from=now-5m&to=now", wait_until="networkidle")
                await page.screenshot(path=pictures / f"{uid}.png", full_page=True)
                assert not await page.get_by_test_id("data-testid Panel status error").count(), name
            await browser.close()

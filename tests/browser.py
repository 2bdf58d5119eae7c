"""A headless Chromium that meets nobody but this machine, and what a page says in it."""
from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from needed import programs, reason
from selenium import webdriver

AXE = Path(__file__).resolve().parent.parent / ".venv/axe/node_modules/axe-core/axe.min.js"
ALONE = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"]


@contextmanager
def open_browser(width: int = 1280, height: int = 900) -> Iterator:
    """Start Chromium; skip where there is none"""
    browser, driver = programs("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for each in [*ALONE, f"--user-data-dir={profile}", f"--window-size={width},{height}"]:
            options.add_argument(each)
        found = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        found.set_script_timeout(180)  # a busy machine needs its time for axe
        try:
            yield found
        finally:
            found.quit()


def scheme(driver, name: str) -> None:
    """Make the system's color scheme `light` or `dark`"""
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                           {"features": [{"name": "prefers-color-scheme", "value": name}]})


def size(driver, width: int, height: int = 900) -> None:
    """Make the window as wide as a screen or a phone, CSS pixels"""
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})


def console_errors(driver) -> list[str]:
    """Return what the pages since the last call complained about"""
    return [each["message"] for each in driver.get_log("browser") if each["level"] == "SEVERE"]


def requested(driver) -> set[str]:
    """Return the addresses that were asked for since the last call, by any page"""
    messages = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    sent = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    return {each for each in sent if each.startswith(("http:", "https:", "ws:", "wss:"))}


COLORS = ("color-contrast", "link-in-text-block")  # what another color scheme can change


def serious(driver, only: tuple[str, ...] = ()) -> list[str]:
    """Return axe's findings that keep somebody from reading the page: rule, and where; of all rules or of some"""
    if not AXE.is_file():
        pytest.skip(reason("axe-core"))
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"], **({"runOnly": list(only)} if only else {})}
    found = driver.execute_async_script("const done = arguments[arguments.length - 1]; axe.run({exclude: ['svg "
                                        "> *']}, arguments[0]).then(done, error => done({failed: String(error)}))",
                                        options)
    assert "failed" not in found, found
    return [f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}" for each in found["violations"]
            if each["impact"] in ("serious", "critical") for node in each["nodes"]]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        """Say nothing"""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine; give its address"""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()

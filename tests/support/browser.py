"""A headless Chromium for the tests of pages: opened from disk, with the network off, its console listened to."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

DESKTOP, PHONE = (1360, 900), (390, 844)  # pixels, as CSS counts them
MISSING = "the page is NOT tested in a browser: {} (Debian: apt-get install chromium chromium-driver)"


@contextmanager
def chromium(size: tuple[int, int], dark: bool = False) -> Iterator[Any]:
    """A driver for a window of this size; skips the test, saying so, where there is no browser to drive."""
    selenium = pytest.importorskip("selenium.webdriver", reason=MISSING.format("selenium is not installed"))
    browser, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
    if browser is None or driver is None:
        pytest.skip(MISSING.format("chromium or chromedriver is not there"))
    options = selenium.ChromeOptions()
    options.binary_location = browser
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")  # no name resolves: the network is off
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if size == PHONE:
        metrics = {"width": size[0], "height": size[1], "pixelRatio": 2}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    made = selenium.Chrome(options=options, service=selenium.ChromeService(driver))
    try:
        made.set_window_size(*size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        made.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        yield made
    finally:
        made.quit()


def axe() -> str:
    """The source of axe-core; skips the test, saying so, where it is not installed."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the page is NOT checked for accessibility: axe-playwright-python is not installed")
    return Path(spec.submodule_search_locations[0], "axe.min.js").read_text(encoding="utf-8")

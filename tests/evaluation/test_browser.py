"""report.html in headless Chromium, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.evaluation.test_page import page, study

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--virtual-time-budget=2000",
)  # fmt: skip
PROBE = """<script>addEventListener("load", () => {
  const root = document.documentElement, images = [...document.images];
  const style = getComputedStyle(document.body);
  root.dataset.seen = JSON.stringify({
    images: images.length,
    broken: images.filter(one => !one.naturalWidth).length,
    hidden: images.filter(one => !one.offsetWidth).length,
    overflow: root.scrollWidth - root.clientWidth,
    columns: new Set([...document.querySelectorAll(".study")[0].children].map(
      one => Math.round(one.getBoundingClientRect().left))).size,
    marks: [...document.querySelectorAll("mark")].map(
      one => getComputedStyle(one).backgroundColor),
    outside: performance.getEntriesByType("resource").filter(
      one => !one.name.startsWith("data:")).length,
    ink: style.color, paper: style.backgroundColor,
  });
})</script>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium is installed, so nobody looks at report.html")
    return found


def seen(browser: str, folder: Path, width: int = 1200, *flags: str) -> dict[str, Any]:
    """What a browser window of this width makes of a page with two studies."""
    probed = folder / "probed.html"
    probed.write_text(page(folder, study(), study("Small right pleural effusion.")) + PROBE)
    done = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
         *flags, "--dump-dom", probed.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert found, done.stderr
    loaded: dict[str, Any] = json.loads(unescape(found[1]))
    return loaded


def brightness(color: str) -> float:
    """0 black .. 255 white of a CSS `rgb(...)`."""
    channels = [float(part) for part in re.findall(r"[\d.]+", color)[:3]]
    return sum(channels) / 3


def test_the_page_opens_with_all_its_pictures_and_asks_for_nothing(
    browser: str, tmp_path: Path
) -> None:
    found = seen(browser, tmp_path)
    assert found["images"] == 6
    assert found["broken"] == found["hidden"] == found["outside"] == 0
    assert found["overflow"] == 0
    assert found["columns"] == 2
    assert len(set(found["marks"])) == 2  # missed, altered
    assert "rgba(0, 0, 0, 0)" not in found["marks"]
    assert brightness(found["paper"]) - brightness(found["ink"]) > 150


def test_a_narrow_window_needs_no_sideways_scrolling(browser: str, tmp_path: Path) -> None:
    found = seen(browser, tmp_path, 500)
    assert found["overflow"] == found["hidden"] == 0
    assert found["columns"] == 1


def test_a_dark_screen_gets_a_dark_page(browser: str, tmp_path: Path) -> None:
    found = seen(browser, tmp_path, 1200, "--blink-settings=preferredColorScheme=0")
    assert brightness(found["ink"]) - brightness(found["paper"]) > 150

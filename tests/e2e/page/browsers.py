"""The Chromium of this machine."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, Playwright

# The first is built to run without a window, and is smaller.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
# No requests of Chromium's own, such as update checks.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def launch(playwright: Playwright) -> Browser:
    """Start Chromium without a window. `make test` installs it if it is missing."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path is not None, "no Chromium on the PATH: run `make test`"
    # Chromium's sandbox refuses to run as root, which is what containers and CI are.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])

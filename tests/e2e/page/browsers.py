"""The Chromium of this machine."""

from __future__ import annotations

import os
import shutil

from playwright.sync_api import Browser, Playwright

# The first is built for running without a window, and has less to do for it.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
# What Chromium does on its own: it asks for updates and the like.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def launch(playwright: Playwright) -> Browser:
    """Start it, without a window; `make test` installs one where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    assert path is not None, "no Chromium on the PATH: run `make test`"
    # Chromium's sandbox refuses to run as root, which is what containers and CI are.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=path, args=[*QUIET, *sandbox])

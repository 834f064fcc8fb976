"""`make smoke`, at a running Kinora."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.harness import RunningStack

SMOKE = ROOT / "knative" / "smoke.py"
# Two replicas, of which one is on its way out, as kubectl prints them.
KUBECTL = """#!/bin/sh
echo '{"items": [{"metadata": {}}, {"metadata": {}}, {"metadata": {"deletionTimestamp": "x"}}]}'
"""


def _smoke(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{path}:{os.environ['PATH']}", "VIDEOS": "2", **variables}
    return subprocess.run(
        [sys.executable, SMOKE],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a kubectl that knows a cluster."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    return tmp_path


def test_smoke_makes_videos_and_shows_replicas(kinora: RunningStack, tools: Path) -> None:
    """It ends well when every file is the one that was made, and an mp4."""
    done = _smoke(tools, URL=kinora.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "2 videos were made and are whole."
    assert "| 2 and 1 leaving |" in done.stdout


def test_smoke_says_what_is_wrong(kinora: RunningStack, tools: Path) -> None:
    """No address, nobody there, and a gateway that makes no videos: each in one line."""
    assert "set URL" in _smoke(tools).stderr
    nobody = _smoke(tools, URL="http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert "127.0.0.1:9" in nobody.stderr
    other = _smoke(tools, URL=f"{kinora.url}/elsewhere")
    assert other.returncode == 1
    assert other.stderr.startswith("smoke: ")

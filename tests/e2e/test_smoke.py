"""`make smoke` against a running stack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from local.stack import ROOT
from tests.harness import RunningStack
from tests.patience import scaled

SMOKE = ROOT / "knative" / "smoke.py"
READY = {"conditions": [{"type": "Ready", "status": "True"}]}
# What kubectl shows for two ready replicas, one waiting for a GPU, and one terminating.
PODS = [
    {"metadata": {}, "status": READY},
    {"metadata": {}, "status": READY},
    {"metadata": {}, "status": {"phase": "Pending"}},
    {"metadata": {"deletionTimestamp": "x"}, "status": READY},
]
KUBECTL = f"#!/bin/sh\necho '{json.dumps({'items': PODS})}'\n"


def _smoke(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": f"{path}:{os.environ['PATH']}", "VIDEOS": "2", **variables}
    return subprocess.run(
        [sys.executable, SMOKE],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=scaled(180),
    )


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder with a fake kubectl, which lists the pods above."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    return tmp_path


def test_smoke_renders_videos_and_shows_replicas(kinora: RunningStack, tools: Path) -> None:
    """It succeeds if every file is an mp4 and matches its checksum."""
    done = _smoke(tools, URL=kinora.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "All 2 videos were rendered, and their files are intact."
    assert "| 2, 1 not ready, 1 terminating |" in done.stdout


def test_smoke_retries_while_the_gateway_is_replaced(kinora: RunningStack, tools: Path) -> None:
    """Once the gateway has answered, lost connections to it are retried for a while."""
    environ = {"PATH": f"{tools}:{os.environ['PATH']}", "URL": kinora.url}
    with subprocess.Popen(
        [sys.executable, SMOKE], env=environ, stdout=PIPE, stderr=PIPE, text=True
    ) as smoke:
        assert smoke.stdout is not None
        assert smoke.stderr is not None
        rows = (line for line in smoke.stdout if line[2].isdigit())
        assert next(rows)
        kinora.kill("gateway")
        assert "; retrying" in smoke.stderr.readline()
        kinora.start("gateway")
        output, errors = smoke.communicate(timeout=scaled(180))
    assert smoke.returncode == 0, errors
    assert output.endswith("All 4 videos were rendered, and their files are intact.\n")


def test_smoke_reports_errors_on_one_line(kinora: RunningStack, tools: Path) -> None:
    """A missing URL, an unreachable gateway, and a server without the API."""
    assert "set URL" in _smoke(tools).stderr
    unreachable = _smoke(tools, URL="http://127.0.0.1:9")
    assert unreachable.returncode == 1
    assert "127.0.0.1:9" in unreachable.stderr
    other = _smoke(tools, URL=f"{kinora.url}/elsewhere")
    assert other.returncode == 1
    assert other.stderr.startswith("smoke: ")

"""A test that hangs or fails takes no other with it, and is reported with its reason."""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.patience import scaled
from tests.small_runs import small_run

MODULE = """
import ctypes, signal, threading, time
import pytest

class SlowToShow:
    def __repr__(self):
        time.sleep(3)
        return "shown at last"

def fail(subject):
    raise RuntimeError("a real failure")

@pytest.fixture
def hanging_setup():
    threading.Event().wait()

@pytest.fixture
def hanging_teardown():
    yield
    threading.Event().wait()

@pytest.fixture(scope="module", autouse=True)
def shared():
    return threading.Thread(target=threading.Event().wait, name="idle", daemon=True).start()

def test_passes_first(): pass

@pytest.mark.time_limit(1)
def test_hangs():
    try:
        threading.Event().wait()
    except Exception:
        pass

@pytest.mark.time_limit(1)
def test_hangs_in_setup(hanging_setup): pass

@pytest.mark.time_limit(1)
def test_hangs_in_teardown(hanging_teardown): pass

@pytest.mark.time_limit(1)
def test_fails_slowly(subject=SlowToShow()):
    fail(SlowToShow())

STUCK

def test_passes_last(): pass
"""
# No signal handler runs before the call of C returns.
STUCK = """
from tests import time_limits

@pytest.fixture
def short_cleanup():
    time_limits._CLEANUP_SECONDS = 1

@pytest.mark.time_limit(1)
def test_is_stuck_in_c(short_cleanup):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    ctypes.CDLL(None).sleep(1000)
"""


def _outcomes(folder: Path, *options: str, stuck: str = "") -> tuple[dict[str, str], str]:
    """What became of each test, by name, and all that pytest printed."""
    (folder / "test_hangs.py").write_text(MODULE.replace("STUCK", stuck))
    report = folder / "report.xml"
    argv, environ = small_run(folder, f"--junitxml={report}", *options)
    run = subprocess.run(
        argv, cwd=ROOT, env=environ, capture_output=True, text=True, check=False,
        timeout=scaled(120),
    )  # fmt: skip
    assert run.returncode == 1, run.stdout + run.stderr
    outcomes: dict[str, str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        failures = [child.get("message", "") for child in case if child.tag in {"failure", "error"}]
        outcomes[case.attrib["name"]] = " ".join([outcomes.get(case.attrib["name"], ""), *failures])
    return outcomes, run.stdout + run.stderr


@pytest.mark.parametrize("options", [[], ["-n1"]], ids=["one process", "distributed"])
def test_what_hangs_fails_alone(tmp_path: Path, options: list[str]) -> None:
    """In a test, a fixture's setup or its teardown; and showing a failure may take its time."""
    stuck = STUCK if options else ""  # it ends its process
    outcomes, output = _outcomes(tmp_path, *options, stuck=stuck)
    assert outcomes["test_passes_first"].strip() == outcomes["test_passes_last"].strip() == ""
    assert "a real failure" in outcomes["test_fails_slowly"]
    for name, phase in [("", "call"), ("_in_setup", "setup"), ("_in_teardown", "teardown")]:
        assert "timed out after " in outcomes[f"test_hangs{name}"]
        assert f": {phase} of this test" in outcomes[f"test_hangs{name}"]
    assert "threading.Event().wait()" in output
    assert re.search(r"^idle:$", output, re.MULTILINE), "stacks of other threads"
    if stuck:
        assert "crashed while running" in outcomes["test_is_stuck_in_c"]
        assert "in test_is_stuck_in_c" in output, "its stack"
    assert f" {3 if stuck else 2} failed, 3 passed, 2 errors in " in output

"""Nothing that tests start outlives their run, whatever ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest

from local.stack import ROOT
from tests.patience import wait_until
from tests.small_runs import small_run

# NATS, a function, whose gunicorn starts a process of its own, and a process that has left its
# session, is orphaned and stopped. The test names all of them in a file, and then waits.
MODULE = """
import json, os, subprocess, threading
from pathlib import Path
import psutil
from tests.harness import RunningStack
from tests.patience import wait_until

FOLDER = Path(__file__).parent
ESCAPE = "sleep 1000 & echo $! > stray; kill -STOP $!"

def test_starts_servers():
    stack = RunningStack(FOLDER / "stack", replicas=1)
    stack.start("nats")
    stack.running["submit"] = stack._popen(stack.table["submit"])
    stack.worker_pid("submit")
    subprocess.run(["sh", "-c", ESCAPE], cwd=FOLDER, start_new_session=True, check=True)
    stray = int((FOLDER / "stray").read_text())
    started = [*psutil.Process().children(recursive=True), psutil.Process(stray)]
    pids = {"worker": os.getpid(), "started": [process.pid for process in started]}
    draft = FOLDER / "draft"
    draft.write_text(json.dumps(pids))
    draft.rename(FOLDER / "pids")
    threading.Event().wait()
"""


@contextmanager
def run_of_tests(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run of pytest in a session of its own, whose test has started everything."""
    (folder / "test_servers.py").write_text(MODULE)
    argv, environ = small_run(folder, *options)
    with (folder / "output").open("wb") as output:
        run = subprocess.Popen(
            argv, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True
        )
    try:

        def started() -> bool:
            assert run.poll() is None, (folder / "output").read_text()
            return (folder / "pids").exists()

        wait_until(started, seconds=60, what="the test has started its servers")
        yield run
    finally:
        run.kill()
        run.wait()


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nothing has waited for yet counts as ended too."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize(
    ("options", "victim", "number"),
    [
        (["-n1"], "pytest", signal.SIGKILL),
        (["-n1"], "worker", signal.SIGKILL),
        (["-n1"], "group", signal.SIGINT),
        ([], "pytest", signal.SIGKILL),
        ([], "worker", signal.SIGKILL),
    ],
)
def test_nothing_outlives_a_run(
    tmp_path: Path, options: list[str], victim: str, number: signal.Signals
) -> None:
    """Neither children of children, nor what is stopped, orphaned or in a session of its own."""
    with run_of_tests(tmp_path, "--max-worker-restart=0", *options) as run:
        pids = json.loads((tmp_path / "pids").read_text())
        assert len(pids["started"]) >= 4
        assert not any(map(is_gone, pids["started"]))
        if victim == "group":
            os.killpg(run.pid, number)  # as the terminal does for Ctrl-C
        else:
            os.kill(pids["worker"] if victim == "worker" else run.pid, number)
        for pid in [pids["worker"], *pids["started"]]:
            wait_until(partial(is_gone, pid), seconds=30, what=f"process {pid} is gone")
        assert run.wait() != 0

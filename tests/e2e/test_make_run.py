"""`python -m local`, as `make run` starts it: real servers and functions on free ports."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import psutil
import pytest
import requests
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from local.files import Credentials
from local.probes import is_free, is_ready
from local.processes import processes
from local.stack import ROOT, Stack
from tests.patience import scaled
from tests.ports import stack_settings

# What git ignores in a checkout, and git's own data.
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", "node_modules", ".kinora", ".*_cache", "__pycache__"
)


class Run:
    """One run of `python -m local`, from its start to its exit.

    Args:
        settings: the environment variables that set the ports and the data folder.
        root: the checkout to run.
    """

    def __init__(self, settings: dict[str, str], root: Path = ROOT) -> None:
        # One replica, because each loads torch, which takes minutes on a busy machine.
        slow = {"GENERATE_REPLICAS": "1", "KINORA_READY_SECONDS": "900"}
        environ = {**os.environ, **slow, **settings}
        self.stack = Stack.from_environ(environ, root)
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local"],
            cwd=root,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def output(self) -> str:
        """What the run has printed so far."""
        return "".join(self.lines)

    def wait_ready(self) -> None:
        """Return when the run has printed that it is ready."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line)
            if "Kinora is ready" in line:
                return
        pytest.fail(f"exited before it was ready:\n{self.output}")

    def wait_exited(self) -> int:
        """Wait for the exit and return its status; `output` is then complete."""
        assert self.process.stdout
        self.lines += self.process.stdout
        return self.process.wait()

    def descendants(self) -> list[psutil.Process]:
        """Return every process that the run has started, directly or indirectly."""
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def running(settings: dict[str, str], root: Path = ROOT) -> Iterator[Run]:
    """Run a stack that is ready for use, and kill it on exit from the block."""
    run = Run(settings, root)
    try:
        run.wait_ready()
        yield run
    finally:
        run.process.kill()
        run.process.wait()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {**stack_settings(), "KINORA_DATA": str(tmp_path / "the data")}


def assert_nothing_left(run: Run, processes_before: list[psutil.Process]) -> None:
    """Assert that all processes of the stack have exited and that its ports are free."""
    _, alive = psutil.wait_procs(processes_before, timeout=scaled(10))
    assert alive == []
    assert [name for name, port in run.stack.ports.by_name.items() if not is_free(port)] == []


def create_video(run: Run, prompt: str) -> str:
    answer = requests.post(
        f"{run.stack.url}/v1/videos", json={"prompt": prompt}, timeout=scaled(30)
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A running stack, for tests that do not change it."""
    folder = tmp_path_factory.mktemp("shared") / "the data"
    with running({**stack_settings(), "KINORA_DATA": str(folder), "GENERATE_REPLICAS": "2"}) as run:
        yield run


def test_the_url_is_printed_once_every_process_is_ready(shared: Run) -> None:
    """By then, every process answers its probe, and all of them listen on 127.0.0.1 only."""
    credentials = Credentials(**json.loads((shared.stack.data / "credentials.json").read_text()))
    table = processes(shared.stack, credentials)
    assert [process.name for process in table if not is_ready(process.probe)] == []
    assert f"Kinora is ready: {shared.stack.url}\n" in shared.output
    addresses = {
        connection.laddr.ip
        for process in shared.descendants()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}
    anonymous = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{shared.stack.ports['s3']}",
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        anonymous.list_objects_v2(Bucket="kinora")


def test_a_port_in_use_is_reported_immediately(settings: dict[str, str]) -> None:
    """The message names the port and the setting, the status is not 0, and nothing is started."""
    # With SO_REUSEADDR, as servers do: old connections on this port do not matter.
    with socket.create_server(("127.0.0.1", int(settings["PORT"]))):
        run = Run(settings)
        assert run.wait_exited() == 1
    assert run.output == (
        f"kinora: port {settings['PORT']} (gateway) is taken: stop what uses it or choose another "
        "with PORT=\n"
    )


def test_two_stacks_cannot_share_a_data_folder(shared: Run) -> None:
    """A second stack, on other ports, refuses to start with the first one's data folder."""
    second = Run({**stack_settings(), "KINORA_DATA": str(shared.stack.data)})
    assert second.wait_exited() == 1
    assert "another Kinora uses the data folder" in second.output


def test_a_process_that_is_not_ready_in_time_is_named(settings: dict[str, str]) -> None:
    """After KINORA_READY_SECONDS the start fails; the output names the process, log and remedy."""
    run = Run({**settings, "KINORA_READY_SECONDS": "1"})  # too short to import torch
    assert run.wait_exited() == 1
    late = re.search(r"^kinora: not ready after 1 s: (.+)$", run.output, re.MULTILINE)
    assert late, run.output
    # Which processes are late depends on the machine.
    table = processes(run.stack, Credentials(access_key="", secret_key=""))
    assert set(late[1].split(", ")) <= {"set-up", *(process.name for process in table)}
    for name in late[1].split(", "):
        assert re.search(rf"^{name} did not (answer on port \d+|finish)$", run.output, re.MULTILINE)
        assert f"{name}.log" in run.output
    assert "To wait longer, set KINORA_READY_SECONDS to more than 1.\n" in run.output


def test_ctrl_c_stops_everything_and_keeps_the_data(tmp_path: Path) -> None:
    """SIGINT ends all processes and frees all ports; the next run still has the videos.

    If NATS is killed then, the message names it and how it ended, and the status is not 0. All of
    this in a copy in `my videos/kinora (1)`, which keeps its data inside.
    """
    root = tmp_path / "my videos" / "kinora (1)"
    shutil.copytree(ROOT, root, ignore=NOT_COPIED)
    settings = stack_settings()
    with running(settings, root) as run:
        assert run.stack.data == root / ".kinora"
        assert requests.get(run.stack.url, timeout=scaled(30)).ok
        video = create_video(run, "a red circle moving right")
        started = run.descendants()
        run.process.send_signal(signal.SIGINT)
        assert run.wait_exited() == 0, run.output
        assert_nothing_left(run, started)
        assert run.output.endswith("Kinora has stopped.\n")
    with running(settings, root) as run:
        answer = requests.get(f"{run.stack.url}/v1/videos/{video}", timeout=scaled(30))
        assert answer.json()["prompt"] == "a red circle moving right"
        started = run.descendants()
        (nats,) = [process for process in started if process.name() == "nats-server"]
        nats.kill()
        assert run.wait_exited() == 1
        assert "kinora: nats ended with SIGKILL" in run.output
        assert "nats.log" in run.output
        assert_nothing_left(run, started)


# The last one, because it ends the stack that the others share.
def test_nothing_outlives_a_killed_supervisor(shared: Run) -> None:
    """Even SIGKILL, which can't be handled, leaves no process and no port in use."""
    started = shared.descendants()
    assert {"nats-server", "caddy", "weed"} <= {process.name() for process in started}
    shared.process.kill()
    shared.process.wait()
    assert_nothing_left(shared, started)

"""The official client: the oldest version that supports videos, and the newest.

Each version has its own virtual environment, created once and kept in `.venv-clients/`, in which
`official_client.py` runs against one running stack.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from local.stack import ROOT
from tests.accounts import write_accounts
from tests.e2e.clients.mailbox import Mailbox
from tests.engines import Engines
from tests.harness import RunningStack
from tests.patience import scaled
from tests.ports import stack_settings

HERE = Path(__file__).parent
SECRET = "whsec_" + base64.b64encode(hashlib.sha256(b"webhooks").digest()).decode()
# The number of tests in official_client.py: all of them must be collected.
TESTS = len(re.findall(r"^def test_", (HERE / "official_client.py").read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Client:
    """A version of the client, its constraints file, and the encoding of its requests."""

    version: str
    constraints: Path
    encoding: str

    @property
    def account(self) -> str:
        """One for each version, so that neither sees the other's videos."""
        return f"openai-{self.version}".replace(".", "_")

    @property
    def python(self) -> Path:
        """The interpreter of its environment, which is created if it is missing or out of date."""
        folder = ROOT / ".venv-clients" / f"openai-{self.version}"
        stamp, wanted = folder / "installed", f"{sys.version}\n{self.constraints.read_text()}"
        python = folder / "bin" / "python"
        if not stamp.exists() or stamp.read_text() != wanted:
            # With this environment's pip: installing pip takes as long as installing the client.
            make: list[str | Path] = [sys.executable, "-m", "venv", "--clear", "--without-pip"]
            subprocess.run([*make, folder], check=True)
            pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install"]
            pip += ["--quiet", "--no-compile", "--disable-pip-version-check"]
            pip += ["--constraint", self.constraints, f"openai=={self.version}", "pytest"]
            subprocess.run(pip, check=True)
            stamp.write_text(wanted)
        return python


def _newest() -> Client:
    constraints = ROOT / "constraints.txt"
    pinned = re.search(r"^openai==(.+)$", constraints.read_text(), re.MULTILINE)
    assert pinned is not None
    return Client(pinned[1], constraints, "multipart/form-data")


CLIENTS = [Client("2.6.1", HERE / "openai-2.6.1.txt", "application/json"), _newest()]


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    """The endpoint of webhooks."""
    with Mailbox() as box:
        yield box


@pytest.fixture(scope="module")
def stack(mailbox: Mailbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack with an account for each version, and a second gateway to a short queue."""
    folder = tmp_path_factory.mktemp("clients")
    accounts = [client.account for client in CLIENTS]
    keys = {name: name for name in accounts}
    hooks = [(name, f"{mailbox.url}/", SECRET) for name in accounts]
    # One replica is used; the ports of the other two are for the short queue.
    settings = {
        **stack_settings(replicas=3),
        "ACCOUNTS_FILE": write_accounts(folder / "accounts", keys, hooks),
        "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
    }
    stack = RunningStack(folder / "data", settings, replicas=1)
    try:
        _add_short_queue(stack)
        stack.start_all()
        yield stack
    finally:
        stack.close()


def _add_short_queue(stack: RunningStack) -> None:
    """Add a submit that accepts one request at a time, and a gateway in front of it."""
    submit, gateway = stack.table["submit"], stack.table["gateway"]
    behind, port = (stack.stack.ports["generate-1"] + n for n in (1, 2))
    stack.table["submit-full"] = replace(
        submit,
        name="submit-full",
        env={**submit.env, "PORT": str(behind), "QUEUE_LIMIT": "1"},
        probe=replace(submit.probe, port=behind),
    )
    stack.table["gateway-full"] = replace(
        gateway,
        name="gateway-full",
        env={**gateway.env, "PORT": str(port), "SUBMIT_UPSTREAM": f"127.0.0.1:{behind}"},
        probe=replace(gateway.probe, port=port),
    )


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.version)
def test_the_official_client_works_unmodified(
    client: Client, stack: RunningStack, mailbox: Mailbox, tmp_path: Path
) -> None:
    """Create, poll, list, download, remix, delete, every class of error, and webhooks."""
    engine = Engines(stack).of("generate-1")
    assert engine is not None
    environ = {
        "PATH": os.environ["PATH"],
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),  # for tests/patience.py
        "KINORA_CLIENT": client.version,
        "KINORA_ENCODING": client.encoding,
        "KINORA_URL": stack.url,
        "KINORA_FULL_URL": f"http://127.0.0.1:{stack.table['gateway-full'].probe.port}",
        "KINORA_API_KEY": client.account,
        "KINORA_MAILBOX": mailbox.url,
        "KINORA_WEBHOOK_SECRET": SECRET,
        "KINORA_NATS_PID": str(stack.running["nats"].pid),
        "KINORA_ENGINE_PID": str(engine.pid),
    }
    # Without the configuration and fixtures of the outer run, which need packages missing there.
    command: list[str | Path] = [
        client.python,
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir",
        tmp_path,
    ]
    command += ["--noconftest", "-p", "no:cacheprovider", "-v", HERE / "official_client.py"]
    run = subprocess.run(
        command,
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=scaled(200),
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{TESTS} passed" in run.stdout

"""schemathesis generates requests from the OpenAPI document and checks the responses against it.

Thousands of valid and invalid requests: no response is a 5xx or has an undocumented status, content
type, header or body, and no request that violates the document is accepted. The seed is fixed and
printed with every failure; KINORA_SEED sets another.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.shared.config import Settings
from functions.shared.storage import S3Store
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from tests.accounts import write_accounts
from tests.harness import RunningStack
from tests.patience import scaled
from tests.unit.events import completed, started

pytestmark = pytest.mark.long

CONFIG = Path(__file__).with_name("schemathesis.toml")
KEY = "key-of-acme"
# In the account of the key. The dictionary `videos` has its id.
DONE = VideoKey("acme", "done")
# Fewer would mean that operations are missing.
CASES = 700


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The functions behind the gateway, without workers."""
    folder = tmp_path_factory.mktemp("api")
    accounts = write_accounts(folder / "accounts", {KEY: DONE.account})
    stack = RunningStack(folder / "data", {"ACCOUNTS_FILE": accounts})
    try:
        stack.start_servers()
        stack.start("submit", "status", "gateway")
        yield stack
    finally:
        stack.close()


@pytest.fixture
def done(api: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A completed video with its files, as `generate` stores them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", api.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", api.credentials.secret_key)
    store = S3Store.from_settings(Settings(s3_endpoint=f"http://127.0.0.1:{api.stack.ports['s3']}"))
    prefix = f"{DONE.object_prefix}1-x/"
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    for name in ("video.mp4", "thumbnail.jpg", "spritesheet.jpg"):
        store.put(prefix + name, path, "application/octet-stream")
    bus = JetStream(api.nats_url)
    ledger, state = Ledger(bus, takeover_grace=0), Snapshot(DONE)
    running = started(DONE)
    for name, data in (
        (EventName.STARTED, running),
        (EventName.COMPLETED, completed(running, prefix=prefix)),
    ):
        ledger.publish(state, VideoEvent.new(DONE, name, data, source="/test"))
        state = ledger.read(DONE)
    bus.close()


def _config(folder: Path) -> Path:
    """The configuration, with the time limit of a stream stretched as the machine is slow now."""
    text, limit = CONFIG.read_text(), "request-timeout = 1"
    assert limit in text
    path = folder / CONFIG.name
    path.write_text(text.replace(limit, f"request-timeout = {scaled(1):.2f}"))
    return path


# More than a minute of a core, and three times that beside other tests.
@pytest.mark.time_limit(420)
@pytest.mark.usefixtures("done")
def test_every_answer_is_as_described(api: RunningStack, tmp_path: Path) -> None:
    """Through the gateway, with real servers behind it."""
    config = str(_config(tmp_path))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run"]
    command += [f"{api.url}/openapi.json", "--no-color"]
    command += ["--header", f"Authorization: Bearer {KEY}"]
    if os.environ.get("KINORA_SEED"):
        command += ["--seed", os.environ["KINORA_SEED"]]
    run = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=scaled(400), check=False
    )
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-5_000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", run.stdout)
    assert cases is not None, run.stdout
    assert int(cases[1]) == int(cases[2]) > CASES

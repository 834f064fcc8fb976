"""Three NATS servers, of which one after the other dies and comes back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from functions.shared.errors import KinoraError
from functions.shared.jetstream import JetStream
from functions.shared.ledger import Ledger, Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.videos import EventName
from tests.e2e.client import Client
from tests.e2e.conftest import SETTINGS
from tests.harness import RunningStack, wait_until
from tests.unit.events import publish, started


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """The whole of Kinora over a cluster, every message kept three times."""
    stack = RunningStack(tmp_path_factory.mktemp("cluster"), SETTINGS, clustered=True)
    try:
        stack.start_all()
        yield stack
    finally:
        stack.close()


def test_videos_are_made_while_one_server_after_the_other_dies(clustered: RunningStack) -> None:
    """Two of three are enough; nothing is lost, and each video is made once."""
    client = Client(clustered.url)
    ids = []
    for server in clustered.nats_servers:
        clustered.kill(server.name)
        for number in range(3):
            key = {"Idempotency-Key": f"{server.name}-{number}"}
            ids.append(client.create_surely(headers=key, num_inference_steps=2)["id"])
        for video_id in ids[-3:]:
            video = client.wait(video_id, "completed", seconds=60)
            assert video["error"] is None
        clustered.start(server.name)
    assert len(set(ids)) == 9
    logs = clustered.log("generate-1") + clustered.log("generate-2")
    for video_id in ids:
        assert logs.count(f"{video_id}: attempt 1 ended: completed") <= 1


def test_what_was_acknowledged_is_read_from_every_leader(clustered: RunningStack) -> None:
    """A state that one leader confirmed is there after the next one took over."""
    bus = JetStream(clustered.nats_url)
    ledger = Ledger(bus, takeover_grace=0)
    try:
        for server in clustered.nats_servers:
            key = VideoKey("acme", f"v{uuid.uuid4().hex[:8]}")
            state = wait_until(
                lambda key=key: _started(ledger, key),  # type: ignore[misc]
                seconds=30,
                what="a leader",
            )
            clustered.kill(server.name)
            again = wait_until(
                lambda key=key: _read(ledger, key),  # type: ignore[misc]
                seconds=30,
                what="another leader",
            )
            assert (again.seq, again.event_id) == (state.seq, state.event_id)
            assert bus.subjects(VIDEOS, key.events) == [key.event("started")]
            clustered.start(server.name)
    finally:
        bus.close()


def _started(ledger: Ledger, key: VideoKey) -> Snapshot | None:
    try:
        return publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    except KinoraError:
        return None


def _read(ledger: Ledger, key: VideoKey) -> Snapshot | None:
    try:
        return ledger.read(key)
    except KinoraError:
        return None

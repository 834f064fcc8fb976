"""A cluster of three NATS servers that fail one after another."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.shared.errors import KinoraError
from functions.shared.streams import follower
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import EventName
from tests.cluster import leader, replicas_in_sync
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.unit.events import publish, started


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A cluster with three replicas of every message, and no functions."""
    stack = RunningStack(tmp_path_factory.mktemp("cluster"), clustered=True)
    try:
        stack.start_servers()
        yield stack
    finally:
        stack.close()


def test_acknowledged_events_survive_every_change_of_leader(clustered: RunningStack) -> None:
    """A state that one leader acknowledged is read from its successor."""
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
            assert bus.list_subjects(VIDEOS, key.events_filter) == [key.event_subject("started")]
            clustered.start(server.name)
    finally:
        bus.close()


def test_a_former_leader_that_lost_its_disk_is_not_believed(
    clustered: RunningStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has a new leader, it reports its own copy of the stream, which is empty."""
    # Short, because it does so for less than half a second, or for milliseconds once there is a
    # leader.
    monkeypatch.setattr(follower, "CHECK_INTERVAL_SECONDS", 0.1)
    key, recreated = VideoKey("acme", f"v{uuid.uuid4().hex[:8]}"), threading.Event()
    # Each connects to a server of its own first.
    buses = [
        JetStream(f"nats://127.0.0.1:{server.probe.port}") for server in clustered.nats_servers
    ]
    try:
        ledger = Ledger(buses[0], takeover_grace=0)
        wait_until(lambda: _started(ledger, key), seconds=30, what="a leader")
        for bus in buses:
            caught_up = threading.Event()
            bus.follow(VIDEOS, lambda _: None, caught_up.set, recreated.set)
            assert caught_up.wait(scaled(20))
        for _ in range(2):
            _wait_in_sync(clustered)
            name = wait_until(
                lambda: leader(clustered.nats_url, VIDEOS), seconds=30, what="a leader"
            )
            clustered.kill(name)
            clustered.remove_data(name)
            clustered.start(name)
        _wait_in_sync(clustered)
        assert not recreated.is_set()
    finally:
        for bus in buses:
            bus.close()


def test_setting_up_waits_for_a_cluster_that_is_starting(tmp_path: Path) -> None:
    """The set-up succeeds once a majority has started, however late."""
    stack = RunningStack(tmp_path, clustered=True)
    first, *others = stack.nats_servers
    try:
        stack.start(first.name, "s3")
        with ThreadPoolExecutor() as pool:
            setting_up = pool.submit(stack.set_up)
            wait_until(
                lambda: setting_up.done() or "not ready yet" in stack.log("set-up"),
                seconds=40,
                what="a failed attempt",
            )
            assert not setting_up.done()
            stack.start(*(server.name for server in others))
            setting_up.result(scaled(60))
    finally:
        stack.close()


def _wait_in_sync(stack: RunningStack) -> None:
    wait_until(
        lambda: replicas_in_sync(stack.nats_url), seconds=30, what="all replicas are in sync"
    )


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

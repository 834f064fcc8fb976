"""The cluster's NATS on a disk that was full for a while: what reports it, and what heals it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from functions.shared.errors import KinoraError, Unavailable
from functions.shared.streams.jetstream import JetStream
from tests.manifests import KNATIVE, find
from tests.nats_users import NatsUsersStack
from tests.patience import scaled, wait_until
from tests.small_disk import SmallDisk, small_disk

# Larger than what the servers keep in reserve in a file.
EVENT = bytes(64 << 10)


class Servers:
    """The servers of an overlay, each with a disk of its own."""

    def __init__(self, folder: Path, manifests: Path, exits: ExitStack) -> None:
        self.stack = NatsUsersStack(
            folder, clustered=manifests.name == "base", traced=False, manifests=manifests
        )
        exits.callback(self.stack.close)
        pod = find(self.stack.objects, "StatefulSet", "nats")["spec"]["template"]["spec"]
        self._liveness = pod["containers"][0]["livenessProbe"]["httpGet"]["path"]
        self.names = [server.name for server in self.stack.nats_servers]
        data = self.stack.stack.data
        self.disks: list[SmallDisk] = [
            exits.enter_context(small_disk(data / f"{name}-config" / "data")) for name in self.names
        ]
        self.stack.start_servers()
        self.bus = JetStream(self.stack.nats_url_of("operator"))
        exits.callback(self.bus.close)

    def alive(self) -> list[bool]:
        """What the kubelet's liveness probe says of each server."""
        return [self._is_alive(self.stack.table[name].argv) for name in self.names]

    def _is_alive(self, argv: list[str]) -> bool:
        url = f"http://127.0.0.1:{argv[argv.index('-m') + 1]}{self._liveness}"
        return bool(requests.get(url, timeout=scaled(5)).ok)

    def stores(self) -> bool:
        """Whether an event is stored."""
        subject = f"kinora.videos.acme.v{uuid.uuid4().hex[:8]}.started"
        try:
            self.bus.publish(subject, EVENT, expected=0)
        except KinoraError:
            return False
        return True

    def tells_that_it_stores(self) -> bool:
        """What `GET /health` of `submit` relies on."""
        try:
            self.bus.check_writes()
        except Unavailable:
            return False
        return True

    def restart(self) -> None:
        """As the kubelet does."""
        for name in self.names:
            self.stack.kill(name)
        self.stack.start(*self.names)


@pytest.fixture(
    params=[KNATIVE / "overlays" / "kind", KNATIVE / "base"], ids=["one-server", "three-servers"]
)
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    """NATS, as the manifests configure it."""
    with ExitStack() as exits:
        yield Servers(tmp_path / "stack", request.param, exits)


def test_a_restart_heals_nats_after_its_disk_was_full(servers: Servers) -> None:
    """The liveness probe asks for it: it fails on each server, also once there is room again.

    Nothing is stored until then, and `GET /health` says so.
    """
    assert servers.stores()
    assert servers.tells_that_it_stores()
    assert all(servers.alive())
    for disk in servers.disks:
        disk.fill()
    wait_until(lambda: not servers.stores(), seconds=60, what="an event is not stored")
    wait_until(
        lambda: not servers.stores() and not any(servers.alive()),
        seconds=60,
        what="all servers have noticed",
    )
    for disk in servers.disks:
        disk.empty()
    assert not servers.stores()
    assert not any(servers.alive())
    assert not servers.tells_that_it_stores()
    servers.restart()
    wait_until(servers.stores, seconds=60, what="events are stored again")
    wait_until(lambda: all(servers.alive()), seconds=60, what="all servers are alive")
    wait_until(servers.tells_that_it_stores, seconds=60, what="health is good again")

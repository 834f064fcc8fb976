"""Two replicas of `status`, of which one gets no news: nobody reads less than they were told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
import requests

from tests.e2e.faults.proxy import ProxyLoop
from tests.follower_proxy import FollowerProxy
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.ports import free_ports

REPLICAS = ("status", "status-2")


@dataclass
class Replicas:
    """`submit` and two replicas of `status`; the second one's followers can be held back."""

    stack: RunningStack
    proxy: FollowerProxy

    def url(self, function: str, path: str = "") -> str:
        """An address of the API, at a function itself."""
        return f"http://127.0.0.1:{self.stack.table[function].probe.port}/v1/videos{path}"

    def read(self, replica: str, path: str = "") -> requests.Response:
        """GET from a replica of `status`."""
        return requests.get(self.url(replica, path), timeout=scaled(20))

    def write(self, method: str, path: str = "") -> requests.Response:
        """A request to `submit`, which succeeds."""
        body = {"prompt": "a red circle"} if not path else None
        response = requests.request(method, self.url("submit", path), json=body, timeout=scaled(20))
        assert response.status_code == 200, response.text
        return response

    def create(self) -> str:
        """The path of a new video."""
        return f"/{self.write('POST').json()['id']}"

    def listed(self, replica: str) -> list[str] | None:
        """The paths of a page of the list; None if it is refused."""
        response = self.read(replica)
        if response.status_code == 503:
            return None
        return [f"/{video['id']}" for video in response.json()["data"]]


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    """What answers callers; nothing renders, so videos stay as callers leave them."""
    stack, loop = RunningStack(tmp_path_factory.mktemp("replicas") / "stack"), ProxyLoop()
    try:
        proxy = FollowerProxy(loop, stack.stack.ports["nats"])
        (port,) = free_ports(1)
        first = stack.table["status"]
        stack.table["status-2"] = replace(
            first,
            name="status-2",
            env={**first.env, "PORT": str(port), "NATS_URL": f"nats://127.0.0.1:{proxy.port}"},
            probe=replace(first.probe, port=int(port)),
        )
        stack.start_servers()
        stack.start("submit", *REPLICAS)
        yield Replicas(stack, proxy)
    finally:
        stack.close()
        loop.close()


@pytest.fixture
def behind(replicas: Replicas) -> Iterator[Replicas]:
    """The second replica gets no more news, and learned a moment ago that it had everything."""
    known = replicas.create()
    for replica in REPLICAS:
        wait_until(
            lambda: known in (replicas.listed(replica) or []),  # noqa: B023 - called at once
            seconds=10,
            what=f"{replica} lists the video",
        )
    replicas.proxy.hold_back()
    yield replicas
    replicas.proxy.release()


def test_a_created_video_is_read_through_a_replica_that_is_behind(behind: Replicas) -> None:
    """Alone at once; in a list once the replica has it, and until then the list is refused."""
    video = behind.create()
    for replica in REPLICAS:
        assert behind.read(replica, video).json()["status"] == "queued"
    assert video in (behind.listed("status") or [])
    assert behind.listed("status-2") is None, "the replica is not behind"
    behind.proxy.release()
    wait_until(
        lambda: video in (behind.listed("status-2") or []),
        seconds=20,
        what="the list has the video",
    )


def test_a_cancelled_video_is_read_as_such_through_a_replica_that_is_behind(
    behind: Replicas,
) -> None:
    """Though that replica has read it as queued a moment before."""
    behind.proxy.release()
    videos = [behind.create() for _ in range(10)]
    wait_until(
        lambda: set(videos) <= set(behind.listed("status-2") or []),
        seconds=20,
        what="the replica has the videos",
    )
    behind.proxy.hold_back()
    for video in videos:
        assert behind.read("status-2", video).json()["status"] == "queued"
        behind.write("POST", f"{video}/cancel")
        for replica in reversed(REPLICAS):
            assert behind.read(replica, video).json()["error"]["code"] == "cancelled"


def test_a_deleted_video_is_not_found_through_a_replica_that_is_behind(behind: Replicas) -> None:
    """Nor listed, though that replica has read it a moment before."""
    behind.proxy.release()
    videos = [behind.create() for _ in range(10)]
    wait_until(
        lambda: set(videos) <= set(behind.listed("status-2") or []),
        seconds=20,
        what="the replica has the videos",
    )
    behind.proxy.hold_back()
    for video in videos:
        assert behind.read("status-2", video).status_code == 200
        behind.write("DELETE", video)
        for replica in reversed(REPLICAS):
            assert behind.read(replica, video).status_code == 404
        assert video not in (behind.listed("status") or [])
    assert behind.listed("status-2") is None
    behind.proxy.release()
    wait_until(
        lambda: behind.listed("status-2") == behind.listed("status"),
        seconds=20,
        what="both replicas list the same",
    )

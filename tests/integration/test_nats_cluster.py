"""The cluster's three NATS servers, with the files and variables of the rendered manifests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nats
import pytest

from functions.shared.errors import KinoraError
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.nats_address import client_options
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import ALL_TURNS, TURNS, VIDEOS, VideoKey
from functions.shared.video.events import EventName
from tests.cluster import leader, replicas_in_sync
from tests.manifests import KNATIVE, OVERLAYS, find, nats_files, render
from tests.nats_users import NatsUsersStack
from tests.patience import now, scaled, wait_until
from tests.unit.events import publish, started


def _different() -> list[Path]:
    """The base and the overlays; of those that configure NATS alike, the first."""
    found: dict[str, Path] = {}
    for folder in (KNATIVE / "base", *(KNATIVE / "overlays" / name for name in OVERLAYS)):
        objects = render(folder)
        spec = find(objects, "StatefulSet", "nats")["spec"]
        servers = [spec["replicas"], spec["template"]["spec"]["containers"], nats_files(objects)]
        found.setdefault(json.dumps(servers, sort_keys=True), folder)
    return list(found.values())


FOLDERS = _different()


def _servers(folder: Path) -> int:
    replicas: int = find(render(folder), "StatefulSet", "nats")["spec"]["replicas"]
    return replicas


@pytest.mark.parametrize(
    "folder", [folder for folder in FOLDERS if _servers(folder) > 1], ids=lambda folder: folder.name
)
def test_the_servers_of_the_manifests_survive_the_loss_of_one(folder: Path, tmp_path: Path) -> None:
    """They accept each other's routes, keep three copies, and answer while any one is away."""
    stack = NatsUsersStack(tmp_path, clustered=True, manifests=folder)
    assert _servers(folder) == len(stack.nats_servers)
    url = stack.nats_url_of("operator")
    bus = JetStream(url)
    ledger = Ledger(bus, takeover_grace=0)
    try:
        stack.start_servers()
        assert asyncio.run(_copies(url)) == {"REQUESTS": 3, "VIDEOS": 3, "TURNS": 3, "QUEUE": 3}
        _wait_in_sync(url)
        before = _start_video(ledger)
        lost = wait_until(lambda: leader(url, VIDEOS), seconds=30, what="a leader")
        stack.kill(lost)
        meanwhile = _start_video(ledger)
        stack.start(lost)
        _wait_in_sync(url)
        after = _start_video(ledger)
        for state in (before, meanwhile, after):
            assert ledger.read(state.key).event_id == state.event_id
        for server in stack.nats_servers:
            assert "Authorization Violation" not in stack.stack.log_of(server.name).read_text()
    finally:
        bus.close()
        stack.close()


def test_turns_stay_bounded_on_three_servers(tmp_path: Path) -> None:
    """Whoever publishes them at the same time, and after the loss of the server that decides."""
    limit, videos = 3, [VideoKey("acme", f"v{n}") for n in range(6)]
    stack = NatsUsersStack(tmp_path, replicas=limit, clustered=True)
    url = stack.nats_url_of("operator")
    buses = [JetStream(url) for _ in range(4)]

    def give(bus: JetStream) -> int:
        given = 0
        for key in videos:
            with contextlib.suppress(KinoraError):
                bus.publish(key.turn_subject, b"1", expected=0)
                given += 1
        return given

    def rounds(count: int) -> None:
        source = buses[0].turn_source()
        with ThreadPoolExecutor(len(buses)) as pool:
            for _ in range(count):
                assert sum(pool.map(give, buses)) <= limit
                assert len(buses[0].list_subjects(TURNS, ALL_TURNS)) == limit
                for _ in range(limit):
                    delivery = source.fetch(scaled(10))
                    assert delivery is not None
                    delivery.ack()
                # The servers agree on the removal some milliseconds after they confirm the end.
                wait_until(
                    lambda: buses[0].list_subjects(TURNS, ALL_TURNS) == [],
                    seconds=10,
                    what="the places are free",
                )

    try:
        stack.start_servers()
        _wait_in_sync(url)
        rounds(10)
        lost = wait_until(lambda: leader(url, TURNS), seconds=30, what="a leader")
        stack.kill(lost)
        wait_until(lambda: leader(url, TURNS), seconds=30, what="another leader")
        stack.start(lost)
        _wait_in_sync(url)
        rounds(10)
        _wait_in_sync(url)
    finally:
        for bus in buses:
            bus.close()
        stack.close()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_replacing_a_server_is_a_short_interruption(folder: Path, tmp_path: Path) -> None:
    """A rollout or an eviction: events are published again within four seconds.

    One of three servers moves its work to the others before it stops ("lame duck"). A single one
    has nowhere to move it to: it would stop JetStream, and then wait for five seconds or more.
    """
    stack = NatsUsersStack(tmp_path, clustered=_servers(folder) > 1, manifests=folder)
    url = stack.nats_url_of("operator")
    bus = JetStream(url)
    try:
        stack.start_servers()
        _start_video(Ledger(bus, takeover_grace=0))
        name = stack.nats_servers[0].name
        if len(stack.nats_servers) > 1:
            _wait_in_sync(url)
            name = wait_until(lambda: leader(url, VIDEOS), seconds=30, what="a leader")
        assert _longest_interruption(bus, lambda: _replace(stack, name)) < 4
        moved_its_work = "lame duck mode" in stack.stack.log_of(name).read_text()
        assert moved_its_work == (len(stack.nats_servers) > 1)
    finally:
        bus.close()
        stack.close()


def _longest_interruption(bus: JetStream, act: Callable[[], None]) -> float:
    """The longest time without a published event, from before `act` until after it.

    In seconds for which the machine had processor time.
    """
    ledger, longest, last = Ledger(bus, takeover_grace=0), 0.0, now().served
    with ThreadPoolExecutor(1) as pool:
        acting, acted = pool.submit(act), False
        while not acted:
            acted = acting.done()  # before: one more event is published after it
            _start_video(ledger)
            last, before = now().served, last
            longest = max(longest, last - before)
        acting.result()
    return longest


def _replace(stack: NatsUsersStack, name: str) -> None:
    """Stop a server as the kubelet stops its pod, then start it again with its data."""
    stack.pre_stop(name)
    if len(stack.nats_servers) > 1:
        # The kubelet's SIGTERM comes later than the signal of the hook, which the server handles
        # beside others. Here both could come at once.
        wait_until(
            lambda: "lame duck mode" in stack.stack.log_of(name).read_text(),
            seconds=10,
            what="the server moves its work",
        )
    stack.stop(name, seconds=60)
    stack.start(name)


async def _copies(url: str) -> dict[str, int]:
    """How many servers keep each stream."""
    async with await nats.connect(**client_options(url)) as client:
        infos = await client.jetstream().streams_info()
    return {
        info.config.name or "": 1 + len((info.cluster and info.cluster.replicas) or ())
        for info in infos
    }


def _wait_in_sync(url: str) -> None:
    wait_until(lambda: replicas_in_sync(url), seconds=60, what="all replicas are in sync")


def _start_video(ledger: Ledger) -> Snapshot:
    """Publish the first event of a new video, as soon as the stream has a leader."""

    def state() -> Snapshot | None:
        key = VideoKey("acme", f"v{uuid.uuid4().hex[:8]}")
        try:
            return publish(ledger, Snapshot(key), EventName.STARTED, started(key))
        except KinoraError:
            return None

    return wait_until(state, seconds=60, what="an event is stored")

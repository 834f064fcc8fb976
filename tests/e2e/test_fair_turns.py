"""Two accounts share the workers, on a stack with the cluster's NATS users."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from functions.shared.streams.jetstream import JetStream
from functions.shared.subjects import ALL_TURNS, QUEUE, QUEUE_SUBJECT, TURNS, VIDEOS, VideoKey
from functions.shared.video.events import EventName
from tests.bulk import message, publish_all
from tests.e2e.client import TINY, Client
from tests.engines import STEPS, Engines
from tests.nats_users import NatsUsersStack
from tests.patience import wait_until


@pytest.fixture
def bus(kinora: NatsUsersStack) -> Iterator[JetStream]:
    """The streams, as an operator sees them."""
    bus = JetStream(kinora.nats_url_of("operator"))
    yield bus
    bus.close()


def _started(bus: JetStream, account: str, video_id: str) -> int | None:
    """The sequence of a video's event `started`; None before it."""
    subject = VideoKey(account, video_id).event_subject(EventName.STARTED)
    found = bus.get_last_message(VIDEOS, subject, leader=True)
    return None if found is None else found.seq


def test_another_accounts_first_video_overtakes_a_long_queue(
    kinora: NatsUsersStack, client: Client, engines: Engines, bus: JetStream
) -> None:
    """It is next, also when it was published straight into NATS; the place that is told says so."""
    engines.hold()
    own = [client.create(**TINY)["id"] for _ in range(6)]
    for video_id in own[:2]:
        client.wait(video_id, "in_progress")
    assert client.get(own[2])["queue_position"] == 1
    other = VideoKey("another", "first")
    data = {"prompt": "a red circle", **TINY}
    publish_all(kinora.nats_url_of("operator"), [message(other, EventName.REQUESTED, data)])

    def overtaken() -> bool:
        video = client.get(own[2])
        places = video["queue_position"], video["own_queue_position"], video["queue_accounts"]
        return places == (2, 1, 2)

    wait_until(overtaken, seconds=10, what="the place in the queue is told")
    engines.resume()
    for video_id in own:
        client.wait(video_id, "completed", seconds=90)
    order = [_started(bus, "default", video_id) or 0 for video_id in own]
    assert max(order[:2]) < (_started(bus, "another", "first") or 0) < min(order[3:])


def test_ones_own_videos_start_by_priority(
    client: Client, engines: Engines, bus: JetStream
) -> None:
    """High before normal before low; equal ones by age."""
    engines.hold()
    running = [client.create(**TINY)["id"] for _ in range(2)]
    for video_id in running:
        client.wait(video_id, "in_progress")
    levels = ("low", "normal", "high", "high")
    waiting = [client.create(**TINY, priority=level)["id"] for level in levels]
    low, normal, high, higher = waiting
    expected = [high, higher, normal, low]
    told = {client.get(video_id)["queue_position"]: video_id for video_id in waiting}
    assert [told[place] for place in sorted(told)] == expected
    engines.resume()
    for video_id in waiting:
        client.wait(video_id, "completed", seconds=90)
    begun = [_started(bus, "default", video_id) or 0 for video_id in expected]
    # Two workers take two at a time.
    assert max(begun[:2]) < min(begun[2:])


def test_lost_turns_and_a_lost_state_cost_no_video(
    client: Client, engines: Engines, bus: JetStream
) -> None:
    """An operator purges both streams while videos run and wait: each is made once."""
    engines.hold()
    videos = [client.create(**STEPS)["id"] for _ in range(4)]
    for video_id in videos[:2]:
        client.wait(video_id, "in_progress")
    bus.purge(TURNS, ALL_TURNS)
    bus.purge(QUEUE, QUEUE_SUBJECT)
    wait_until(
        lambda: len(bus.list_subjects(TURNS, ALL_TURNS)) == 2, seconds=10, what="turns are back"
    )
    running = {VideoKey.from_subject(s).video_id for s in bus.list_subjects(TURNS, ALL_TURNS)}
    assert running == set(videos[:2]), "what runs is first"
    engines.resume()
    for video_id in videos:
        assert client.wait(video_id, "completed", seconds=90)["attempt"] == 1

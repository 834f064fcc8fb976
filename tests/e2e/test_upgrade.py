"""An upgrade from a version without turns, in which a consumer of REQUESTS was the queue."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator

import nats
import pytest
from nats.aio.client import Client as NatsClient
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.errors import NotFoundError

from functions.dispatch.requests.sink import HttpSink
from functions.shared.streams.cloudevents import read_nats
from functions.shared.streams.consumers import GENERATE_CONSUMER, PullConsumer
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.nats_connection import NatsConnection
from functions.shared.streams.queue_state import read_queue_state
from functions.shared.subjects import ALL_REQUESTS, QUEUE, REQUESTS, TURNS, VIDEOS, VideoKey
from functions.shared.video.events import EventName
from tests.bulk import message, publish_all
from tests.e2e.client import Client
from tests.e2e.faults.stack import SHORT
from tests.e2e.faults.streams import Streams
from tests.engines import STEPS, Engines
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.unit.events import completed, started

# What the set-up of that version created.
OLD_CONSUMER = ConsumerConfig(
    durable_name=GENERATE_CONSUMER,
    ack_policy=AckPolicy.EXPLICIT,
    ack_wait=60,
    max_ack_pending=1,
    max_deliver=-1,
    filter_subject=ALL_REQUESTS,
)


@pytest.fixture
def kinora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """A stack of its own with one worker, whose streams a test replaces by that version's."""
    stack = RunningStack(tmp_path_factory.mktemp("upgrade"), SHORT, replicas=1)
    try:
        stack.start_servers()
        stack.start("generate-1")
        yield stack
    finally:
        stack.close()


async def _downgrade(stack: RunningStack) -> None:
    async with await nats.connect(stack.nats_url) as client:
        context = client.jetstream(timeout=scaled(10))
        for stream in (TURNS, QUEUE):
            await context.delete_stream(stream)
        await context.add_consumer(REQUESTS, OLD_CONSUMER)


async def _has_old_consumer(stack: RunningStack) -> bool:
    async with await nats.connect(stack.nats_url) as client:
        try:
            await client.jetstream(timeout=scaled(10)).consumer_info(REQUESTS, GENERATE_CONSUMER)
        except NotFoundError:
            return False
        return True


def _request(stack: RunningStack, *keys: VideoKey) -> None:
    data = {"prompt": "a red circle", **STEPS}
    publish_all(stack.nats_url, [message(key, EventName.REQUESTED, data) for key in keys])


@pytest.mark.time_limit(480)
def test_queued_and_running_videos_survive_the_upgrade(kinora: RunningStack) -> None:
    """Each is completed, by one attempt; what has ended is not made again without its event."""
    ended, running, *queued = [
        VideoKey("default", name) for name in ("ended", "running", "q1", "q2")
    ]
    source = PullConsumer(NatsConnection(kinora.nats_url), stream=REQUESTS)
    streams = Streams(kinora.nats_url)
    bus = JetStream(kinora.nats_url)
    engines = Engines(kinora)
    try:
        streams.start_audit()
        engines.hold()
        asyncio.run(_downgrade(kinora))
        event = completed(started(ended), prefix=f"{ended.object_prefix}1-0/")
        _request(kinora, ended)
        (delivery,) = [source.fetch(scaled(10))]
        assert delivery is not None
        publish_all(
            kinora.nats_url, [message(ended, EventName.COMPLETED, event.model_dump(mode="json"))]
        )
        delivery.ack()
        bus.purge(VIDEOS, ended.events_filter)

        _request(kinora, running, *queued)
        _send_as_before(kinora, source)
        engines.rendering("running")

        kinora.set_up()
        assert not asyncio.run(_has_old_consumer(kinora))
        kinora.start("activator", "dispatch", "submit", "status", "gateway")
        engines.resume()
        client = Client(kinora.url)
        for key in (running, *queued):
            assert client.wait(key.video_id, "completed", seconds=120)["attempt"] == 1
        assert client.get("ended")["status"] == "queued", "until the search for lost events"
        wait_until(lambda: not bus.list_subjects(TURNS, "kinora.turns.>"), seconds=20, what="rest")
        stored = Counter((one.video_id, one.name) for one in streams.audit(VIDEOS))
        for key in (running, *queued):
            assert (stored[key.video_id, "started"], stored[key.video_id, "completed"]) == (1, 1)
        assert not stored["ended", "started"]
        wait_until(
            lambda: read_queue_state(bus).unsettled_count == 0,
            seconds=10,
            what="it is written down that all have ended",
        )
    finally:
        streams.close()
        bus.close()


def _send_as_before(kinora: RunningStack, source: PullConsumer) -> None:
    """What a `dispatch` of that version did; it is killed, and its connection with it, later."""
    delivery = source.fetch(scaled(10))
    assert delivery is not None
    taken = delivery.message
    (port,) = kinora.stack.ports.generate()
    sink = HttpSink(
        f"http://127.0.0.1:{port}", first_byte_seconds=60, silence_seconds=60, extensions={}
    )
    event = read_nats(taken.headers, taken.data)
    threading.Thread(target=sink.send_request, args=(taken, event), daemon=True).start()


def test_the_consumer_stays_while_an_earlier_version_pulls_from_it(kinora: RunningStack) -> None:
    """Its processes are replaced one by one; the next set-up deletes it."""

    async def pull_meanwhile() -> None:
        async with await nats.connect(kinora.nats_url) as client:
            await _hang_on(client)
            await asyncio.to_thread(kinora.set_up)

    asyncio.run(_downgrade(kinora))
    asyncio.run(pull_meanwhile())
    assert asyncio.run(_has_old_consumer(kinora))
    kinora.set_up()
    assert not asyncio.run(_has_old_consumer(kinora))
    kinora.set_up()


async def _hang_on(client: NatsClient) -> None:
    """Pull, as a slot of `dispatch` does all the time."""
    inbox = client.new_inbox()
    await client.subscribe(inbox)
    expires = int(scaled(60) * 1e9)
    body = f'{{"batch": 1, "expires": {expires}}}'.encode()
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{REQUESTS}.{GENERATE_CONSUMER}"
    await client.publish(subject, body, reply=inbox)
    await client.flush()

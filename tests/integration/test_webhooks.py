"""Webhooks over a real NATS server, to real HTTP servers."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from prometheus_client import CollectorRegistry

from functions.dispatch.webhooks.couriers import Couriers
from functions.setup.__main__ import main as set_up
from functions.shared.config import Settings
from functions.shared.endpoints import Endpoint, read_endpoints
from functions.shared.networks import parse_networks
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.streams.video_events import VideoEvent
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import Cancelled, Deleted, EventName
from tests.harness import RunningStack, wait_until
from tests.receiver import Receiver
from tests.unit.events import CREATED, completed, publish, started

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HERE = "127.0.0.0/8"
# Instead of seconds to hours.
PAUSES = (0.1, 0.1)


class Webhooks:
    """The webhooks of accounts that only this test knows, and the videos of one of them."""

    def __init__(self, nats_url: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.account = f"acme-{uuid.uuid4().hex[:8]}"
        self.file = file
        self.bus = JetStream(nats_url)
        self.ledger = Ledger(self.bus, takeover_grace=0)
        self.registry = CollectorRegistry()
        self._nats_url = nats_url
        self._running: list[Couriers] = []
        self._last = 0
        monkeypatch.setenv("NATS_URL", nats_url)
        monkeypatch.setenv("WEBHOOKS_FILE", str(file))
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", HERE)
        monkeypatch.setenv("WEBHOOK_TIMEOUT_SECONDS", "3")

    def configure(self, *urls: str) -> list[Endpoint]:
        """Write the file, and make the consumers, as a deployment does."""
        lines = [f"{self.account} {url} {SECRET}" for url in urls]
        self.file.write_text("\n".join(lines))
        set_up()
        return read_endpoints(Settings())

    def start(self, *urls: str, allowed: str = HERE) -> list[Endpoint]:
        """Deliver to these endpoints from now on."""
        endpoints = self.configure(*urls)
        self.run(endpoints, allowed=allowed)
        return endpoints

    def run(self, endpoints: list[Endpoint], *, allowed: str = HERE) -> None:
        """Start one replica."""
        replica = Couriers(
            endpoints,
            self._nats_url,
            networks=parse_networks(allowed),
            seconds=Settings().webhook_timeout_seconds,
            registry=CollectorRegistry() if self._running else self.registry,
            pauses=PAUSES,
        )
        replica.start()
        self._running.append(replica)

    def complete(self, video_id: str = "v1", *, account: str | None = None) -> Snapshot:
        """Let a video be completed."""
        key = VideoKey(account or self.account, video_id)
        running = publish(self.ledger, Snapshot(key), EventName.STARTED, started(key))
        data = completed(started(key), prefix=f"{key.object_prefix}1-x/")
        done = publish(self.ledger, running, EventName.COMPLETED, data)
        self._last = done.seq if account is None else self._last
        return done

    def _info(self, endpoint: Endpoint) -> dict[str, Any]:
        return self.bus._answer(f"CONSUMER.INFO.{VIDEOS}.{endpoint.consumer}")

    def await_waiting(self, endpoint: Endpoint, count: int) -> None:
        """Return when there are so many events that the endpoint has yet to be told."""

        def reached() -> bool:
            info = self._info(endpoint)
            return int(info["num_pending"]) + int(info["num_ack_pending"]) == count

        wait_until(reached, seconds=20, what=f"{count} events wait")

    def count(self, outcome: str) -> float:
        """Attempts that the first replica counted."""
        labels = {"account": self.account, "outcome": outcome}
        return self.registry.get_sample_value("kinora_webhook_attempts_total", labels) or 0.0

    def settled(self, endpoint: Endpoint) -> None:
        """Return when the last video was delivered, and nothing is left to be told."""

        def reached() -> bool:
            info = self._info(endpoint)
            delivered = int(info["delivered"]["stream_seq"]) >= self._last
            return delivered and int(info["num_ack_pending"]) == 0

        wait_until(reached, seconds=20, what="every delivery is settled")

    def close(self) -> None:
        """Stop everything."""
        for replica in self._running:
            replica.stop()
        self.bus.close()


@pytest.fixture
def webhooks(
    servers: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Webhooks]:
    """Webhooks that are not configured yet."""
    monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{servers.stack.ports['s3']}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.credentials.secret_key)
    made = Webhooks(servers.nats_url, tmp_path / "webhooks", monkeypatch)
    yield made
    made.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """An endpoint."""
    with Receiver() as server:
        yield server


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another endpoint."""
    with Receiver() as server:
        yield server


def _video(body: bytes) -> str:
    return str(json.loads(body)["data"]["id"])


def test_a_webhook_is_told_once_and_verifies(webhooks: Webhooks, receiver: Receiver) -> None:
    """What an openai client reads; acknowledged, it does not come again."""
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    [request] = receiver.wait(1)
    webhooks.settled(endpoint)
    client = OpenAI(api_key="any", webhook_secret=SECRET)
    event = client.webhooks.unwrap(request.body, dict(request.headers))
    assert (event.type, _video(request.body)) == ("video.completed", "v1")
    assert request.headers["content-type"] == "application/json"
    assert len(receiver.received) == 1
    assert webhooks.count("delivered") == 1


def test_a_cancelled_video_has_failed(webhooks: Webhooks, receiver: Receiver) -> None:
    """As the video object says."""
    webhooks.start(receiver.url)
    key = VideoKey(webhooks.account, "v1")
    data = Cancelled(created_at=CREATED)
    publish(webhooks.ledger, Snapshot(key), EventName.CANCELLED, data)
    assert json.loads(receiver.wait(1)[0].body)["type"] == "video.failed"


@pytest.mark.parametrize("status", [500, 404, 301])
def test_a_failed_attempt_is_repeated_with_the_same_id(
    webhooks: Webhooks, receiver: Receiver, status: int
) -> None:
    """Whatever is not 2xx is tried again, and the receiver can tell that it is the same."""
    receiver.answers.append((status, {}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    first, second = receiver.wait(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    webhooks.settled(endpoint)
    assert (webhooks.count("failed"), webhooks.count("delivered")) == (1, 1)


def test_attempts_end(webhooks: Webhooks, receiver: Receiver) -> None:
    """After the last pause the webhook is given up, and nothing is left of it."""
    receiver.answers.extend([(500, {})] * 5)
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    webhooks.settled(endpoint)
    assert len(receiver.received) == len(PAUSES) + 1
    assert webhooks.count("given_up") == 1


def test_an_endpoint_that_is_gone_is_not_asked_again(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    """410 says that nobody wants to hear it."""
    receiver.answers.append((410, {}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    webhooks.settled(endpoint)
    assert len(receiver.received) == 1
    assert webhooks.count("given_up") == 1


def test_a_slow_endpoint_holds_up_no_other(
    webhooks: Webhooks, receiver: Receiver, other: Receiver
) -> None:
    """Neither another endpoint of the account, nor forget what the slow one has to hear."""
    receiver.hold.clear()
    slow, _ = webhooks.start(receiver.url, other.url)
    videos = [f"v{number}" for number in range(8)]
    for video in videos:
        webhooks.complete(video)
    told = other.wait(len(videos))
    assert sorted(_video(request.body) for request in told) == videos
    webhooks.await_waiting(slow, len(videos))
    receiver.hold.set()
    webhooks.settled(slow)
    assert {_video(request.body) for request in receiver.received} == set(videos)


def test_another_accounts_videos_are_never_told(webhooks: Webhooks, receiver: Receiver) -> None:
    """Also where the other account's name begins or ends like this one's."""
    [endpoint] = webhooks.start(receiver.url)
    for account in (f"{webhooks.account}x", webhooks.account[:-1], "default"):
        webhooks.complete(f"v-{uuid.uuid4().hex}", account=account)
    webhooks.complete("mine")
    webhooks.settled(endpoint)
    assert [_video(request.body) for request in receiver.received] == ["mine"]


def test_a_redirect_is_not_followed(
    webhooks: Webhooks, receiver: Receiver, other: Receiver
) -> None:
    """It could lead anywhere, also to where webhooks may not go."""
    receiver.answers.append((307, {"location": other.url}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    receiver.wait(2)
    webhooks.settled(endpoint)
    assert other.received == []


def test_a_private_address_is_not_called(webhooks: Webhooks, receiver: Receiver) -> None:
    """Unless the operator named its network."""
    url = f"https://localhost:{receiver.port}/"
    [endpoint] = webhooks.start(url, allowed="")
    webhooks.complete()
    webhooks.settled(endpoint)
    assert receiver.received == []
    assert webhooks.count("given_up") == 1


def test_a_deleted_video_is_not_told_any_more(webhooks: Webhooks, receiver: Receiver) -> None:
    """Its events are gone, and a receiver could do nothing with it."""
    receiver.hold.clear()
    receiver.answers.append((503, {}))
    [endpoint] = webhooks.start(receiver.url)
    snapshot = webhooks.complete()
    receiver.wait(1)
    deleted = VideoEvent.new(
        snapshot.key, EventName.DELETED, Deleted(created_at=CREATED), source="/test"
    )
    tombstone = webhooks.ledger.publish(snapshot, deleted)
    webhooks.bus.purge(VIDEOS, snapshot.key.events_filter, below=tombstone.seq)
    receiver.hold.set()
    webhooks.settled(endpoint)
    assert len(receiver.received) == 1


def test_a_new_endpoint_hears_what_happens_from_then_on(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    """And not of everything that ever happened; without `dispatch` nothing is lost."""
    webhooks.complete("before")
    endpoints = webhooks.configure(receiver.url)
    webhooks.complete("between")
    webhooks.run(endpoints)
    webhooks.settled(endpoints[0])
    assert [_video(request.body) for request in receiver.received] == ["between"]


def test_two_replicas_share_the_work(webhooks: Webhooks, receiver: Receiver) -> None:
    """Each event is told once."""
    [endpoint] = webhooks.start(receiver.url)
    webhooks.run([endpoint])
    videos = {f"v{number}" for number in range(20)}
    for video in videos:
        webhooks.complete(video)
    webhooks.settled(endpoint)
    told = [_video(request.body) for request in receiver.received]
    assert len(told) == len(videos)
    assert set(told) == videos


def test_what_leaves_the_file_leaves_no_consumer(webhooks: Webhooks) -> None:
    """And what stays keeps what it has yet to be told."""
    kept, former = webhooks.configure("https://a.example/", "https://b.example/")
    webhooks.complete()
    webhooks.configure(kept.url)
    webhooks.await_waiting(kept, 1)
    gone = webhooks.bus._call(f"CONSUMER.INFO.{VIDEOS}.{former.consumer}", {}, absent=10014)
    assert gone is None


@pytest.fixture
def stack(tmp_path: Path, receiver: Receiver) -> Iterator[RunningStack]:
    """NATS, an object store and `dispatch`, with webhooks to `receiver` for the account acme."""
    file = tmp_path / "webhooks"
    file.write_text(f"acme {receiver.url} {SECRET}\n")
    settings = {
        "WEBHOOKS_FILE": str(file),
        "WEBHOOK_ALLOWED_NETWORKS": HERE,
        "WEBHOOK_TIMEOUT_SECONDS": "2",
    }
    with ExitStack() as end:
        running = RunningStack(tmp_path / "data", settings)
        end.callback(running.close)
        running.start_servers()
        running.start("dispatch")
        yield running


def _completed(stack: RunningStack, video_id: str) -> None:
    bus = JetStream(stack.nats_url)
    key = VideoKey("acme", video_id)
    ledger = Ledger(bus, takeover_grace=0)
    running = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    publish(ledger, running, EventName.COMPLETED, completed(started(key)))
    bus.close()


def test_a_webhook_is_not_lost_when_dispatch_is_killed(
    stack: RunningStack, receiver: Receiver
) -> None:
    """In the middle of an attempt: it comes again from the next process, recognisable."""
    receiver.hold.clear()
    _completed(stack, "video_1")
    receiver.wait(1)
    stack.kill("dispatch")
    receiver.hold.set()
    stack.start("dispatch")
    first, second = receiver.wait(2, seconds=60)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]


def test_attempts_are_counted_through_a_restart_of_nats(
    stack: RunningStack, receiver: Receiver
) -> None:
    """The consumer keeps what waits for its next attempt; this is the schedule's first pause."""
    receiver.answers.extend([(500, {})] * 2)
    _completed(stack, "video_1")
    _await_log(stack, "could not be told, attempt 1: it answered 500. Again in 5 s.")
    stack.stop("nats")
    stack.start("nats")
    first, second = receiver.wait(2, seconds=60)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    _await_log(stack, "could not be told, attempt 2: it answered 500. Again in 3")


def _await_log(stack: RunningStack, text: str) -> None:
    wait_until(lambda: text in stack.log("dispatch"), seconds=20, what=f"the log says {text!r}")


def test_a_wrong_file_stops_the_set_up_at_once(webhooks: Webhooks) -> None:
    """With the line's number, and without asking NATS first."""
    webhooks.file.write_text("acme https://example.com/ whsec_short\n")
    with pytest.raises(SystemExit, match=r"WEBHOOKS_FILE can't be used: .*line 1: the secret"):
        set_up()
    webhooks.file.unlink()
    with pytest.raises(SystemExit, match=r"WEBHOOKS_FILE can't be used: .*No such file"):
        set_up()

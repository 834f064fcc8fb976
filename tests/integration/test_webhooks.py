"""Webhooks with a real NATS server and real HTTP servers."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from prometheus_client import CollectorRegistry

from functions.dispatch.webhooks import workers
from functions.dispatch.webhooks.workers import WebhookWorkers
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.accounts.file import AccountsFile
from functions.shared.api.openapi import document
from functions.shared.config import Settings
from functions.shared.errors import Unavailable
from functions.shared.networks import parse_networks
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.nats_connection import NatsConnection
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.video.events import Cancelled, Deleted, EventName
from functions.shared.video.profiles import load_profile
from tests.accounts import write_accounts
from tests.harness import RunningStack
from tests.patience import scaled, wait_until
from tests.receiver import Receiver
from tests.unit.events import CREATED, completed, publish, started

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HERE = "127.0.0.0/8"
# Instead of seconds to hours.
RETRY_DELAYS = (0.1, 0.1)


class Webhooks:
    """The webhooks of an account that only this test uses, and its videos."""

    def __init__(self, nats_url: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.account = f"acme-{uuid.uuid4().hex[:8]}"
        self.file = file
        self.bus = JetStream(nats_url)
        self.ledger = Ledger(self.bus, takeover_grace=0)
        self.registry = CollectorRegistry()
        self._nats_url = nats_url
        self._running: list[WebhookWorkers] = []
        self._was_run = False
        self._last = 0
        # Instead of half a minute.
        monkeypatch.setattr(workers, "SAMPLE_SECONDS", 0.2)
        monkeypatch.setenv("NATS_URL", nats_url)
        monkeypatch.setenv("ACCOUNTS_FILE", str(file))
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", HERE)
        monkeypatch.setenv("WEBHOOK_TIMEOUT_SECONDS", "3")

    def configure(self, *urls: str, secret: str = SECRET) -> list[Endpoint]:
        """Write the file, which running replicas follow."""
        hooks = [(self.account, url, secret) for url in urls]
        write_accounts(self.file, webhooks=hooks)
        return [*self._read().document.endpoints]

    def _read(self) -> AccountsFile:
        file = AccountsFile.of(Settings())
        assert file is not None
        return file

    def start(self, *urls: str, allowed: str = HERE) -> list[Endpoint]:
        """Configure these endpoints, and start one replica."""
        endpoints = self.configure(*urls)
        self.run(allowed=allowed)
        return endpoints

    def run(self, *, allowed: str = HERE) -> None:
        """Start one replica, and wait until each endpoint has a consumer."""
        file = self._read()
        file.follow()
        replica = WebhookWorkers(
            file,
            NatsConnection(self._nats_url),
            networks=parse_networks(allowed),
            timeout_seconds=Settings().webhook_timeout_seconds,
            max_pending=100,
            registry=CollectorRegistry() if self._was_run else self.registry,
            retry_delays=RETRY_DELAYS,
        )
        replica.start()
        self._running.append(replica)
        self._was_run = True

        def ready() -> bool:
            try:
                replica.check()
            except Unavailable:
                return False
            return True

        wait_until(ready, seconds=20, what="each endpoint has a consumer")

    def complete(self, video_id: str = "v1", *, account: str | None = None) -> Snapshot:
        """Publish that a video was completed."""
        key = VideoKey(account or self.account, video_id)
        running = publish(self.ledger, Snapshot(key), EventName.STARTED, started(key))
        data = completed(started(key), prefix=f"{key.object_prefix}1-x/")
        done = publish(self.ledger, running, EventName.COMPLETED, data)
        self._last = done.seq if account is None else self._last
        return done

    def has_consumer(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint has a consumer."""
        name = f"CONSUMER.INFO.{VIDEOS}.{endpoint.consumer}"
        return self.bus._api.call(name, {}, absent=10014) is not None

    def wait_for_consumer(self, endpoint: Endpoint, *, there: bool) -> None:
        """Wait until the endpoint has a consumer, or has none."""
        wait_until(
            lambda: self.has_consumer(endpoint) is there, seconds=5, what=f"a consumer: {there}"
        )

    def _info(self, endpoint: Endpoint) -> dict[str, Any]:
        return self.bus._api.info(f"CONSUMER.INFO.{VIDEOS}.{endpoint.consumer}")

    def wait_for_pending(self, endpoint: Endpoint, count: int) -> None:
        """Wait until the endpoint's consumer holds `count` events that are not yet settled."""

        def reached() -> bool:
            info = self._info(endpoint)
            return int(info["num_pending"]) + int(info["num_ack_pending"]) == count

        wait_until(reached, seconds=20, what=f"{count} pending events")

    def count(self, outcome: str) -> float:
        """The number of attempts that the first replica counted."""
        labels = {"account": self.account, "outcome": outcome}
        return self.registry.get_sample_value("kinora_webhook_attempts_total", labels) or 0.0

    def wait_for_backlog(self, count: int) -> None:
        """Wait until the first replica tells that so many webhooks are before the account."""
        labels = {"account": self.account}
        wait_until(
            lambda: self.registry.get_sample_value("kinora_webhook_pending", labels) == count,
            seconds=20,
            what=f"a backlog of {count}",
        )

    def oldest_seconds(self) -> float:
        """The age of the account's oldest webhook, as the first replica tells it."""
        labels = {"account": self.account}
        age = self.registry.get_sample_value("kinora_webhook_oldest_seconds", labels)
        assert age is not None
        return age

    def wait_until_settled(self, endpoint: Endpoint) -> None:
        """Wait until every webhook up to the last video's was delivered or given up."""

        def reached() -> bool:
            info = self._info(endpoint)
            delivered = int(info["delivered"]["stream_seq"]) >= self._last
            return delivered and int(info["num_ack_pending"]) == 0

        wait_until(reached, seconds=20, what="every delivery is settled")

    def stop(self) -> None:
        """Stop all replicas."""
        while self._running:
            self._running.pop().stop()

    def close(self) -> None:
        """Stop everything."""
        self.stop()
        self.bus.close()


@pytest.fixture
def webhooks(
    servers: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Webhooks]:
    """Webhooks that are not yet configured."""
    monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{servers.stack.ports['s3']}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.credentials.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.credentials.secret_key)
    made = Webhooks(servers.nats_url, tmp_path / "accounts", monkeypatch)
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


def test_a_webhook_is_delivered_once_and_verifies(webhooks: Webhooks, receiver: Receiver) -> None:
    """The openai client accepts it; acknowledged, it is not redelivered."""
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    [request] = receiver.wait(1)
    webhooks.wait_until_settled(endpoint)
    client = OpenAI(api_key="any", webhook_secret=SECRET)
    event = client.webhooks.unwrap(request.body, dict(request.headers))
    assert (event.type, _video(request.body)) == ("video.completed", "v1")
    assert request.headers["content-type"] == "application/json"
    assert len(receiver.received) == 1
    assert webhooks.count("delivered") == 1


def test_a_cancelled_video_counts_as_failed(webhooks: Webhooks, receiver: Receiver) -> None:
    """As in the video object."""
    webhooks.start(receiver.url)
    key = VideoKey(webhooks.account, "v1")
    data = Cancelled(created_at=CREATED)
    publish(webhooks.ledger, Snapshot(key), EventName.CANCELLED, data)
    assert json.loads(receiver.wait(1)[0].body)["type"] == "video.failed"


@pytest.mark.parametrize("status", [500, 404, 301])
def test_a_failed_attempt_is_retried_with_the_same_id(
    webhooks: Webhooks, receiver: Receiver, status: int
) -> None:
    """Any status but 2xx is retried, and the receiver can recognise the retry."""
    receiver.answers.append((status, {}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    first, second = receiver.wait(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    webhooks.wait_until_settled(endpoint)
    assert (webhooks.count("failed"), webhooks.count("delivered")) == (1, 1)


def test_retries_end(webhooks: Webhooks, receiver: Receiver) -> None:
    """After the last delay the webhook is given up, and its event is settled."""
    receiver.answers.extend([(500, {})] * 5)
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    webhooks.wait_until_settled(endpoint)
    assert len(receiver.received) == len(RETRY_DELAYS) + 1
    assert webhooks.count("given_up") == 1


def test_410_ends_the_retries(webhooks: Webhooks, receiver: Receiver) -> None:
    """Gone: the endpoint wants no more webhooks."""
    receiver.answers.append((410, {}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    webhooks.wait_until_settled(endpoint)
    assert len(receiver.received) == 1
    assert webhooks.count("given_up") == 1


def test_410_concerns_one_event(webhooks: Webhooks, receiver: Receiver) -> None:
    """The endpoint stays in ACCOUNTS_FILE, so it gets later events, as the document says."""
    receiver.answers.append((410, {}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete("v1")
    webhooks.wait_until_settled(endpoint)
    webhooks.complete("v2")
    webhooks.wait_until_settled(endpoint)
    assert [_video(request.body) for request in receiver.received] == ["v1", "v2"]
    assert webhooks.count("delivered") == 1
    described = document(load_profile("demo"))["webhooks"]["video.completed"]["post"]["responses"]
    assert "still gets later events" in described["410"]["description"]


def test_a_slow_endpoint_delays_no_other(
    webhooks: Webhooks, receiver: Receiver, other: Receiver
) -> None:
    """Another endpoint of the account gets every webhook; later the slow one does, too."""
    receiver.hold.clear()
    slow, _ = webhooks.start(receiver.url, other.url)
    videos = [f"v{number}" for number in range(8)]
    for video in videos:
        webhooks.complete(video)
    delivered = other.wait(len(videos))
    assert sorted(_video(request.body) for request in delivered) == videos
    webhooks.wait_for_pending(slow, len(videos))
    webhooks.wait_for_backlog(len(videos))
    assert 0 < webhooks.oldest_seconds() < scaled(60)
    receiver.hold.set()
    webhooks.wait_until_settled(slow)
    webhooks.wait_for_backlog(0)
    assert webhooks.oldest_seconds() == 0
    assert {_video(request.body) for request in receiver.received} == set(videos)


def test_an_endpoint_gets_no_webhooks_of_other_accounts(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    """Not even if the other account's name is a prefix of this one's, or begins with it."""
    [endpoint] = webhooks.start(receiver.url)
    for account in (f"{webhooks.account}x", webhooks.account[:-1], "default"):
        webhooks.complete(f"v-{uuid.uuid4().hex}", account=account)
    webhooks.complete("mine")
    webhooks.wait_until_settled(endpoint)
    assert [_video(request.body) for request in receiver.received] == ["mine"]


def test_a_redirect_is_not_followed(
    webhooks: Webhooks, receiver: Receiver, other: Receiver
) -> None:
    """It could lead to an address that webhooks may not go to."""
    receiver.answers.append((307, {"location": other.url}))
    [endpoint] = webhooks.start(receiver.url)
    webhooks.complete()
    receiver.wait(2)
    webhooks.wait_until_settled(endpoint)
    assert other.received == []


def test_a_private_address_is_not_called(webhooks: Webhooks, receiver: Receiver) -> None:
    """Unless the operator allows its network."""
    url = f"https://localhost:{receiver.port}/"
    [endpoint] = webhooks.start(url, allowed="")
    webhooks.complete()
    webhooks.wait_until_settled(endpoint)
    assert receiver.received == []
    assert webhooks.count("given_up") == 1


def test_deleting_a_video_cancels_its_webhooks(webhooks: Webhooks, receiver: Receiver) -> None:
    """Its events are purged, and a receiver could not fetch the video anyway."""
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
    webhooks.wait_until_settled(endpoint)
    assert len(receiver.received) == 1


def test_a_new_endpoint_is_notified_of_later_events_only(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    """From when it has a consumer, also of those while `dispatch` is not running."""
    webhooks.complete("before")
    endpoints = webhooks.start(receiver.url)
    webhooks.stop()
    webhooks.complete("between")
    webhooks.run()
    webhooks.wait_until_settled(endpoints[0])
    assert [_video(request.body) for request in receiver.received] == ["between"]


def test_an_endpoint_is_added_while_others_are_called(
    webhooks: Webhooks, receiver: Receiver, other: Receiver
) -> None:
    """It is notified of what ends from then on; nothing is sent twice to the endpoint before it."""
    receiver.hold.clear()
    webhooks.start(receiver.url)
    webhooks.complete("v1")
    receiver.wait(1)
    first, second = webhooks.configure(receiver.url, other.url)
    webhooks.wait_for_consumer(second, there=True)
    receiver.hold.set()
    webhooks.complete("v2")
    webhooks.wait_until_settled(first)
    webhooks.wait_until_settled(second)
    assert [_video(request.body) for request in receiver.received] == ["v1", "v2"]
    assert [_video(request.body) for request in other.received] == ["v2"]


def test_a_changed_secret_signs_what_is_sent_from_then_on(
    webhooks: Webhooks, receiver: Receiver
) -> None:
    """The endpoint keeps its consumer, and what that holds."""
    [endpoint] = webhooks.start(receiver.url)
    secret = "whsec_" + base64.b64encode(b"n" * 32).decode()
    webhooks.configure(receiver.url, secret=secret)
    signed_with = OpenAI(api_key="any", webhook_secret=secret).webhooks

    def is_used() -> bool:
        webhooks.complete(f"v{uuid.uuid4().hex[:8]}")
        webhooks.wait_until_settled(endpoint)
        request = receiver.received[-1]
        try:
            signed_with.unwrap(request.body, dict(request.headers))
        except InvalidWebhookSignatureError:
            return False
        return True

    wait_until(is_used, seconds=5, what="the new secret signs")
    videos = [_video(request.body) for request in receiver.received]
    assert len(videos) == len(set(videos)), "nothing is sent twice"


def test_a_removed_endpoint_is_called_no_more(
    webhooks: Webhooks, receiver: Receiver, other: Receiver
) -> None:
    """Neither for what it is still to be told of, nor for anything later. Others are."""
    receiver.answers.extend([(503, {})] * 100)
    former, _ = webhooks.start(receiver.url, other.url)
    webhooks.complete("v1")
    receiver.wait(1)
    [kept] = webhooks.configure(other.url)
    webhooks.wait_for_consumer(former, there=False)
    called = len(receiver.received)
    webhooks.complete("v2")
    webhooks.wait_until_settled(kept)
    assert [_video(request.body) for request in other.received] == ["v1", "v2"]
    assert len(receiver.received) == called


def test_a_consumer_that_was_lost_is_created_again(webhooks: Webhooks, receiver: Receiver) -> None:
    """As after a loss of all data, when the streams were set up again."""
    [endpoint] = webhooks.start(receiver.url)
    webhooks.bus._api.call(f"CONSUMER.DELETE.{VIDEOS}.{endpoint.consumer}", {})
    webhooks.wait_for_consumer(endpoint, there=True)
    webhooks.complete()
    assert _video(receiver.wait(1)[0].body) == "v1"


def test_two_replicas_share_the_work(webhooks: Webhooks, receiver: Receiver) -> None:
    """Each webhook is delivered once."""
    [endpoint] = webhooks.start(receiver.url)
    webhooks.run()
    videos = {f"v{number}" for number in range(20)}
    for video in videos:
        webhooks.complete(video)
    webhooks.wait_until_settled(endpoint)
    delivered = [_video(request.body) for request in receiver.received]
    assert len(delivered) == len(videos)
    assert set(delivered) == videos


def test_a_removed_endpoint_leaves_no_consumer(webhooks: Webhooks, receiver: Receiver) -> None:
    """Also if it was removed while no replica was running; one that stays keeps its events."""
    receiver.hold.clear()
    kept, former = webhooks.start(receiver.url, "https://b.example/")
    webhooks.stop()
    webhooks.complete()
    webhooks.configure(kept.url)
    webhooks.run()
    assert not webhooks.has_consumer(former)
    webhooks.wait_for_pending(kept, 1)
    receiver.hold.set()
    assert _video(receiver.wait(1)[0].body) == "v1"


@pytest.fixture
def stack(tmp_path: Path, receiver: Receiver) -> Iterator[RunningStack]:
    """NATS, an object store and `dispatch`, with webhooks to `receiver` for the account acme."""
    accounts = write_accounts(tmp_path / "accounts", webhooks=[("acme", receiver.url, SECRET)])
    settings = {
        "ACCOUNTS_FILE": accounts,
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
    """Killed during an attempt, the next process retries it with the same id."""
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
    """The consumer keeps pending retries; this waits for the schedule's first delay."""
    receiver.answers.extend([(500, {})] * 2)
    _completed(stack, "video_1")
    _await_log(stack, "failed, attempt 1: status 500. Retrying in 5 s.")
    stack.stop("nats")
    stack.start("nats")
    first, second = receiver.wait(2, seconds=60)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    _await_log(stack, "failed, attempt 2: status 500. Retrying in 3")


def _await_log(stack: RunningStack, text: str) -> None:
    wait_until(lambda: text in stack.log("dispatch"), seconds=20, what=f"the log has {text!r}")

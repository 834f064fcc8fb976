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
from openai import OpenAI
from prometheus_client import CollectorRegistry

from functions.dispatch.webhooks.workers import WebhookWorkers
from functions.setup.__main__ import main as set_up
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.accounts.file import AccountsFile
from functions.shared.api.openapi import document
from functions.shared.config import Settings
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
from tests.patience import wait_until
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
        self._last = 0
        monkeypatch.setenv("NATS_URL", nats_url)
        monkeypatch.setenv("ACCOUNTS_FILE", str(file))
        monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", HERE)
        monkeypatch.setenv("WEBHOOK_TIMEOUT_SECONDS", "3")

    def configure(self, *urls: str) -> list[Endpoint]:
        """Write the file and create the consumers, as a deployment does."""
        hooks = [(self.account, url, SECRET) for url in urls]
        write_accounts(self.file, webhooks=hooks)
        set_up()
        file = AccountsFile.of(Settings())
        assert file is not None
        return [*file.document.endpoints]

    def start(self, *urls: str, allowed: str = HERE) -> list[Endpoint]:
        """Configure these endpoints, and start one replica."""
        endpoints = self.configure(*urls)
        self.run(endpoints, allowed=allowed)
        return endpoints

    def run(self, endpoints: list[Endpoint], *, allowed: str = HERE) -> None:
        """Start one replica."""
        replica = WebhookWorkers(
            endpoints,
            NatsConnection(self._nats_url),
            networks=parse_networks(allowed),
            timeout_seconds=Settings().webhook_timeout_seconds,
            registry=CollectorRegistry() if self._running else self.registry,
            retry_delays=RETRY_DELAYS,
        )
        replica.start()
        self._running.append(replica)

    def complete(self, video_id: str = "v1", *, account: str | None = None) -> Snapshot:
        """Publish that a video was completed."""
        key = VideoKey(account or self.account, video_id)
        running = publish(self.ledger, Snapshot(key), EventName.STARTED, started(key))
        data = completed(started(key), prefix=f"{key.object_prefix}1-x/")
        done = publish(self.ledger, running, EventName.COMPLETED, data)
        self._last = done.seq if account is None else self._last
        return done

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

    def wait_until_settled(self, endpoint: Endpoint) -> None:
        """Wait until every webhook up to the last video's was delivered or given up."""

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
    receiver.hold.set()
    webhooks.wait_until_settled(slow)
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
    """From when its consumer was created, even while `dispatch` is not running."""
    webhooks.complete("before")
    endpoints = webhooks.configure(receiver.url)
    webhooks.complete("between")
    webhooks.run(endpoints)
    webhooks.wait_until_settled(endpoints[0])
    assert [_video(request.body) for request in receiver.received] == ["between"]


def test_two_replicas_share_the_work(webhooks: Webhooks, receiver: Receiver) -> None:
    """Each webhook is delivered once."""
    [endpoint] = webhooks.start(receiver.url)
    webhooks.run([endpoint])
    videos = {f"v{number}" for number in range(20)}
    for video in videos:
        webhooks.complete(video)
    webhooks.wait_until_settled(endpoint)
    delivered = [_video(request.body) for request in receiver.received]
    assert len(delivered) == len(videos)
    assert set(delivered) == videos


def test_a_removed_endpoint_leaves_no_consumer(webhooks: Webhooks) -> None:
    """An endpoint that stays keeps its pending events."""
    kept, former = webhooks.configure("https://a.example/", "https://b.example/")
    webhooks.complete()
    webhooks.configure(kept.url)
    webhooks.wait_for_pending(kept, 1)
    gone = webhooks.bus._api.call(f"CONSUMER.INFO.{VIDEOS}.{former.consumer}", {}, absent=10014)
    assert gone is None


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


def test_an_invalid_file_fails_the_setup_at_once(webhooks: Webhooks) -> None:
    """The message names the place; NATS is not contacted."""
    write_accounts(webhooks.file, webhooks=[("acme", "https://example.com/", "whsec_short")])
    with pytest.raises(SystemExit, match=r"ACCOUNTS_FILE can't be used: .*secrets\[0\]: must be"):
        set_up()
    webhooks.file.unlink()
    with pytest.raises(SystemExit, match=r"ACCOUNTS_FILE can't be used: .*No such file"):
        set_up()

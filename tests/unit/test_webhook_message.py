"""The content of a webhook, its signature, and its retries."""

from __future__ import annotations

import base64
import time
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from functions.dispatch.webhooks.message import Webhook
from functions.dispatch.webhooks.retries import RETRY_DELAYS, parse_retry_after, retry_delay
from functions.shared.accounts.endpoints import Endpoint
from functions.shared.errors import InvalidRequest
from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_events import VideoEvent
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
from functions.shared.timestamps import DAY_SECONDS, NANOSECONDS
from functions.shared.video.events import Cancelled, EventName, Failed, Failure
from tests.fakes import MemoryBus
from tests.unit.events import CREATED, completed, publish, started

KEYS = (b"k" * 32, b"o" * 24)
ENDPOINT = Endpoint("acme", "https://example.com/hook", KEYS)
SECRETS = [f"whsec_{base64.b64encode(key).decode()}" for key in KEYS]


def _ended(bus: MemoryBus, ledger: Ledger, key: VideoKey, name: EventName) -> Message:
    running = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    assert running.data is not None
    data: dict[EventName, Any] = {
        EventName.COMPLETED: completed(started(key)),
        EventName.FAILED: Failed(created_at=CREATED, error=Failure(code="c", message="m")),
        EventName.CANCELLED: Cancelled(created_at=CREATED),
    }
    publish(ledger, running, name, data[name])
    message = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert message is not None
    return message


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (EventName.COMPLETED, "video.completed"),
        (EventName.FAILED, "video.failed"),
        (EventName.CANCELLED, "video.failed"),
    ],
)
@pytest.mark.parametrize("secret", SECRETS)
def test_the_openai_client_verifies_and_reads_it(
    bus: MemoryBus, ledger: Ledger, key: VideoKey, event: EventName, kind: str, secret: str
) -> None:
    """With either secret during a rotation; a cancelled video counts as failed."""
    message = _ended(bus, ledger, key, event)
    webhook = Webhook.of(message, ENDPOINT)
    headers = webhook.headers(ENDPOINT, time.time())
    read = OpenAI(api_key="any").webhooks.unwrap(webhook.body, headers, secret=secret)
    assert (read.object, read.type, read.data.id) == ("event", kind, key.video_id)  # type: ignore[union-attr]  # of some events, not of these
    assert read.created_at == message.time // NANOSECONDS
    assert read.id == ledger.read(key).event_id


@pytest.mark.parametrize("change", ["body", "id", "timestamp", "secret"])
def test_any_change_breaks_the_signature(
    bus: MemoryBus, ledger: Ledger, key: VideoKey, change: str
) -> None:
    """The signature covers the id and the time as well as the body."""
    webhook = Webhook.of(_ended(bus, ledger, key, EventName.COMPLETED), ENDPOINT)
    headers = webhook.headers(ENDPOINT, time.time())
    body, secret = webhook.body, SECRETS[0]
    if change == "body":
        body = body.replace(b"completed", b"failed")
    elif change == "secret":
        secret = f"whsec_{base64.b64encode(b'x' * 32).decode()}"
    elif change == "id":
        headers["webhook-id"] += "1"
    else:
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 1)
    with pytest.raises(InvalidWebhookSignatureError):
        OpenAI(api_key="any").webhooks.unwrap(body, headers, secret=secret)


def test_a_retry_has_the_same_id_and_a_new_timestamp(
    bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """So a receiver recognises a retry, and can refuse a replay."""
    message = _ended(bus, ledger, key, EventName.COMPLETED)
    first, retry = Webhook.of(message, ENDPOINT), Webhook.of(message, ENDPOINT)
    assert first == retry
    assert "." not in first.id
    one, two = first.headers(ENDPOINT, 1e9), retry.headers(ENDPOINT, 2e9)
    assert one["webhook-id"] == two["webhook-id"]
    assert one["webhook-signature"] != two["webhook-signature"]
    assert Webhook.of(message, Endpoint("acme", "https://b.example/", KEYS)).id != first.id


def test_an_unreadable_terminal_event_counts_as_failed(bus: MemoryBus, key: VideoKey) -> None:
    """As in the HTTP API."""
    seq = bus.inject(key.event_subject("completed"), b"garbage")
    message = bus.get_message(VIDEOS, seq)
    assert message is not None
    webhook = Webhook.of(message, ENDPOINT)
    assert webhook.type == "video.failed"
    assert webhook == Webhook.of(message, ENDPOINT)


def test_an_event_that_is_not_terminal_sends_no_webhook(bus: MemoryBus, key: VideoKey) -> None:
    """Other programs may publish anything on the subject of a terminal event."""
    data = VideoEvent.new(key, EventName.STARTED, started(key), source="/test").to_bytes()
    message = bus.get_message(VIDEOS, bus.inject(key.event_subject("failed"), data))
    assert message is not None
    with pytest.raises(InvalidRequest):
        Webhook.of(message, ENDPOINT)


def test_delays_grow_and_end_after_three_days() -> None:
    """As Standard Webhooks recommends, and never shorter."""
    delays = [retry_delay(attempt) for attempt in range(1, 10)]
    for delay, least in zip(delays, RETRY_DELAYS, strict=True):
        assert delay is not None
        assert least <= delay <= 1.1 * least
    assert all(a <= b for a, b in pairwise(RETRY_DELAYS))
    assert retry_delay(10) is None
    assert 3 * DAY_SECONDS < sum(RETRY_DELAYS) < 4 * DAY_SECONDS


def test_retry_after_is_respected_within_limits() -> None:
    """It can lengthen a delay, to a day at most, and does not extend the schedule."""
    assert (retry_delay(1, retry_after=90) or 0) >= 90
    assert (retry_delay(2, retry_after=1) or 0) >= RETRY_DELAYS[1]
    assert (retry_delay(1, retry_after=1e9) or 0) <= 1.1 * DAY_SECONDS
    assert retry_delay(10, retry_after=5) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120),
        (formatdate(1090, usegmt=True), 90),
        (formatdate(10, usegmt=True), 0),
        ("soon", None),
        ("-5", None),
        ("٣", None),
        ("9" * 400, 999999999),
        ("Fri, 99 Foo 2026 00:00:00 GMT", None),
        ("Fri, 99999999999999999999 Jan 2026 00:00:00 GMT", None),
        ("Fri, 01 Jan 2026 99999999999999999999:00:00 GMT", None),
        ("Fri, 01 Jan 2026 00:00:00 +9999999999999999999999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None) -> None:
    """Anything else is ignored."""
    assert parse_retry_after(text, now=1000) == seconds

"""The ids of HTTP requests, in the events that follow from them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from structlog.contextvars import bound_contextvars

from functions.dispatch.lost_videos import LostVideos
from functions.dispatch.requests.handler import RequestHandler
from functions.dispatch.requests.sink import SinkOutcome, SinkResponse
from functions.dispatch.sweeper import QUEUED_AGE, Sweeper
from functions.shared.request_ids import LOG_FIELD, current_request_id
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import ReceivedEvent
from functions.shared.streams.ledger import Ledger
from functions.shared.subjects import REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import Failure
from functions.shared.video.profiles import Profile
from functions.submit.unconfirmed_requests import UnconfirmedRequests
from tests.fakes import MemoryBus, MemoryStore
from tests.patience import wait_until
from tests.unit.events import request_payload
from tests.unit.turns import take_request, write_state

ID = "req_of-the-caller.1"


class RefusingSink:
    """A worker that refuses every request, and what it was sent for."""

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self.sent_for: list[str | None] = []

    def send_request(self, message: Message, event: ReceivedEvent) -> SinkResponse:  # noqa: ARG002 - as `RequestSink`
        """See `RequestSink.send_request`."""
        self.sent_for.append(current_request_id())
        return SinkResponse(SinkOutcome.REFUSED, Failure(code="refused", message="no"))


def _put(bus: MemoryBus, key: VideoKey, prompt: object = "a red circle", **id_: object) -> None:
    bus.inject(key.request_subject, request_payload({"prompt": prompt}, **id_))


def _id_of(bus: MemoryBus, key: VideoKey) -> str | None:
    stored = bus.get_last_message(VIDEOS, key.events_filter, leader=True)
    assert stored is not None
    found: str | None = json.loads(stored.data).get("requestid")
    return found


def _handle(bus: MemoryBus, handler: RequestHandler) -> None:
    handler.handle(take_request(bus))


@pytest.mark.parametrize("prompt", ["a red circle", 7])
def test_a_failure_that_dispatch_publishes_names_the_request(
    bus: MemoryBus, ledger: Ledger, profile: Profile, key: VideoKey, prompt: object
) -> None:
    """Whether a worker refused it, or it is invalid."""
    sink = RefusingSink()
    _put(bus, key, prompt, requestid=ID)
    _handle(bus, RequestHandler(ledger, profile, sink))
    assert _id_of(bus, key) == ID
    assert sink.sent_for == ([ID] if prompt != 7 else [])
    assert current_request_id() is None, "the next delivery is another's"


@pytest.mark.parametrize("sent", [None, 7, "two\nlines", "a" * 129])
def test_a_request_without_a_safe_id_gets_one(
    bus: MemoryBus, ledger: Ledger, profile: Profile, key: VideoKey, sent: object
) -> None:
    """So that what follows from it has one, and no publisher can write a log line of its own."""
    sink = RefusingSink()
    _put(bus, key, requestid=sent)
    _handle(bus, RequestHandler(ledger, profile, sink))
    assert str(sink.sent_for[0]).startswith("req_")
    assert _id_of(bus, key) == sink.sent_for[0]


def _lose(bus: MemoryBus, ledger: Ledger, profile: Profile, store: MemoryStore) -> None:
    write_state(bus)
    lost = LostVideos(bus, ledger, profile, store)
    lost.check()
    bus.advance(60)
    lost.check()


def _wait_too_long(bus: MemoryBus, ledger: Ledger, profile: Profile, store: MemoryStore) -> None:
    bus.advance(QUEUED_AGE + 1)
    Sweeper(bus, ledger, profile, store, max_age_days=30).sweep()


@pytest.mark.parametrize("end", [_lose, _wait_too_long])
def test_a_video_that_is_given_up_names_its_request(
    bus: MemoryBus,
    ledger: Ledger,
    profile: Profile,
    store: MemoryStore,
    key: VideoKey,
    end: Callable[[MemoryBus, Ledger, Profile, MemoryStore], None],
) -> None:
    """Its state was lost, or no worker was free for days."""
    _put(bus, key, requestid=ID)
    end(bus, ledger, profile, store)
    assert _id_of(bus, key) == ID


def test_a_withdrawal_in_the_background_names_its_request(
    bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Of the caller who was told that it had failed."""
    unconfirmed = UnconfirmedRequests(bus, ledger)
    _put(bus, key)
    with bound_contextvars(**{LOG_FIELD: ID}):
        unconfirmed.withdraw(key)
    wait_until(
        lambda: bus.get_last_message(REQUESTS, key.request_subject, leader=True) is None,
        seconds=10,
        what="the request is withdrawn",
    )
    assert _id_of(bus, key) == ID

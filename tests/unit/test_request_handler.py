"""What `dispatch` does with one delivered request, in every state of its video."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from functions.dispatch.requests.handler import RequestHandler
from functions.dispatch.requests.sink import SinkOutcome, SinkResponse
from functions.shared.errors import InvalidRequest, Unavailable
from functions.shared.streams.bus import Message
from functions.shared.streams.cloudevents import ReceivedEvent
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Cancelled, EventName, Failed, Failure
from functions.shared.video.profiles import Profile
from tests.fakes import MemoryBus
from tests.unit.events import (
    CREATED,
    completed,
    progressed,
    publish,
    put_request,
    request_payload,
    resolved,
    started,
)
from tests.unit.turns import take_request


@dataclass
class ScriptedSink:
    """Does `work`, as a worker would during the exchange, and then returns `response`."""

    response: SinkResponse = field(default_factory=lambda: SinkResponse(SinkOutcome.CLOSED))
    messages: list[Message] = field(default_factory=list)
    events: list[ReceivedEvent] = field(default_factory=list)
    work: object = None

    def send_request(self, message: Message, event: ReceivedEvent) -> SinkResponse:
        """See `RequestSink.send_request`."""
        self.messages.append(message)
        self.events.append(event)
        if callable(self.work):
            self.work()
        return self.response


@pytest.fixture
def sink() -> ScriptedSink:
    """A sink that closes the exchange without doing anything."""
    return ScriptedSink()


@pytest.fixture
def handler(ledger: Ledger, profile: Profile, sink: ScriptedSink) -> RequestHandler:
    """A handler with everything in memory."""
    return RequestHandler(ledger, profile, sink)


def _handle(handler: RequestHandler, bus: MemoryBus) -> str:
    handler.handle(take_request(bus))
    return bus.settled[-1][1]


def _failed(ledger: Ledger, key: VideoKey) -> Failed:
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    return data


def test_a_completed_video_is_acknowledged(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """After the exchange the stream holds `completed`."""
    put_request(bus, key)

    def complete() -> None:
        state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
        publish(ledger, state, EventName.COMPLETED, completed(started(key)))

    sink.work = complete
    assert _handle(handler, bus) == "ack"
    assert sink.messages[0].seq == 1


def test_the_validated_event_is_forwarded(
    handler: RequestHandler, bus: MemoryBus, sink: ScriptedSink, key: VideoKey
) -> None:
    """The sink gets the decoded event, with the data that its publisher wrote."""
    put_request(bus, key, seed=7)
    _handle(handler, bus)
    assert [event.data for event in sink.events] == [{"prompt": "a red circle", "seed": 7}]


@pytest.mark.parametrize(
    ("payload", "forwarded"), [(b"garbage", False), (request_payload({"seed": "x"}), True)]
)
def test_an_invalid_request_does_not_fail_a_video_that_has_started(
    handler: RequestHandler,
    bus: MemoryBus,
    ledger: Ledger,
    sink: ScriptedSink,
    key: VideoKey,
    payload: bytes,
    forwarded: bool,
) -> None:
    """Published over the first request, any CloudEvent is forwarded; the worker validates it."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key, seconds=0))
    bus.inject(key.request_subject, payload)
    if forwarded:
        assert _handle(handler, bus) == "nak"
    else:
        with pytest.raises(InvalidRequest):
            _handle(handler, bus)
    assert len(sink.messages) == forwarded
    assert ledger.read(key).name is EventName.STARTED


def test_a_clean_response_without_a_completed_video_is_redelivered(
    handler: RequestHandler, bus: MemoryBus, key: VideoKey
) -> None:
    """A timeout at a proxy looks like a clean 200: only the stream decides."""
    put_request(bus, key)
    assert _handle(handler, bus) == "nak"


def test_a_busy_worker_uses_up_no_attempt(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """A video waits for a free worker without a limit."""
    put_request(bus, key)
    sink.response = SinkResponse(SinkOutcome.BUSY)
    for _ in range(10):
        assert _handle(handler, bus) == "nak"
    assert ledger.read(key) == Snapshot(key)


def test_a_finished_video_is_not_sent_again(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """Publishing a request again never reopens a video."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    assert _handle(handler, bus) == "ack"
    assert not sink.messages


def test_a_video_with_a_live_lease_is_left_alone(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """Its worker is alive, even if the connection to it was lost."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    assert _handle(handler, bus) == "nak"
    assert not sink.messages


def test_an_expired_lease_lets_another_worker_try(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """The worker was lost, so the request is sent again."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(21)
    _handle(handler, bus)
    assert len(sink.messages) == 1


@pytest.mark.parametrize("reported", [True, False])
def test_the_third_attempt_is_the_last(
    handler: RequestHandler,
    bus: MemoryBus,
    ledger: Ledger,
    sink: ScriptedSink,
    key: VideoKey,
    reported: bool,
) -> None:
    """The video fails with its last worker's error, or because the worker was lost."""
    put_request(bus, key)
    data = started(key, attempt=3, seconds=0)
    state = publish(ledger, Snapshot(key), EventName.STARTED, data)
    if reported:
        error = Failure(code="engine_crashed", message="it crashed")
        publish(ledger, state, EventName.PROGRESSED, progressed(data, error=error))
    assert _handle(handler, bus) == "ack"
    assert not sink.messages
    failed = _failed(ledger, key)
    assert failed.error.code == ("engine_crashed" if reported else "worker_lost")
    assert failed.request is not None
    assert failed.attempt == 3


@pytest.mark.parametrize(
    ("payload", "code", "echo"),
    [
        (b"garbage \xff", "invalid_json", None),
        (b"", "invalid_json", None),
        (request_payload({}), "missing_required_parameter", None),
        (request_payload([]), "invalid_cloudevent", None),
        (request_payload({"prompt": "x", "seed": "7"}), "invalid_value", "x"),
        (request_payload({"prompt": "x", "num_frames": 8}), "invalid_value", "x"),
        (request_payload({"prompt": "x" * 5000}), "invalid_value", "x" * 200),
        (request_payload({"prompt": "x"}, type="other"), "invalid_cloudevent", "x"),
        (request_payload({"prompt": "\ud800"}), "invalid_value", "?"),
        (request_payload({"prompt": "x"}, id="\ud800"), "invalid_cloudevent", None),
        (request_payload({"prompt": "x"}, id="\u6f22" * 1024), "invalid_cloudevent", None),
        (request_payload({"prompt": "x"}, source="\ud800"), "invalid_cloudevent", None),
        (
            request_payload({"prompt": "x", "metadata": {"k": "v" * 70_000}}),
            "request_too_large",
            "x",
        ),
    ],
)
def test_an_invalid_request_fails_with_its_reason(
    handler: RequestHandler,
    bus: MemoryBus,
    ledger: Ledger,
    sink: ScriptedSink,
    key: VideoKey,
    payload: bytes,
    code: str,
    echo: str | None,
) -> None:
    """Who publishes straight to NATS finds the reason in the video; nothing is sent."""
    bus.inject(key.request_subject, payload)
    assert _handle(handler, bus) == "term"
    failed = _failed(ledger, key)
    assert (failed.error.code, failed.prompt) == (code, echo)
    assert not sink.messages


def test_an_unreadable_event_does_not_stop_a_video(
    handler: RequestHandler, bus: MemoryBus, sink: ScriptedSink, key: VideoKey
) -> None:
    """Unless it is terminal it is ignored, and the request is sent."""
    put_request(bus, key)
    bus.inject(key.event_subject("started"), b"garbage")
    _handle(handler, bus)
    assert len(sink.messages) == 1


def test_a_refusal_by_the_worker_fails_the_video(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """Every other worker would refuse it too."""
    put_request(bus, key)
    failure = Failure(code="invalid_value", message="too big")
    sink.response = SinkResponse(SinkOutcome.REFUSED, failure)
    assert _handle(handler, bus) == "ack"
    assert _failed(ledger, key).error.message == "too big"


def test_a_failure_that_loses_the_race_changes_nothing(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """A worker claimed the video meanwhile: the request is redelivered and decided again."""
    put_request(bus, key)
    sink.response = SinkResponse(SinkOutcome.REFUSED, Failure(code="x", message="x"))
    sink.work = lambda: publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    assert _handle(handler, bus) == "nak"
    assert ledger.read(key).name is EventName.STARTED


def test_internal_errors_do_not_hold_a_slot_for_ever(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """After a few redeliveries the video fails, and the slot is free."""
    put_request(bus, key)
    for _ in range(5):
        handler.handle_failure(take_request(bus), RuntimeError("secret"))
    assert [word for _, word in bus.settled] == ["nak"] * 4 + ["term"]
    failed = _failed(ledger, key)
    assert failed.error.code == "internal_error"
    assert "secret" not in failed.error.message


def test_a_request_is_not_given_up_while_failed_cannot_be_published(
    handler: RequestHandler,
    bus: MemoryBus,
    ledger: Ledger,
    key: VideoKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given up without `failed`, its video would stay queued for ever."""

    def unavailable(_: VideoKey) -> Snapshot:
        raise Unavailable

    put_request(bus, key)
    for _ in range(4):
        handler.handle_failure(take_request(bus), RuntimeError())
    monkeypatch.setattr(ledger, "read", unavailable)
    delivery = take_request(bus)
    with pytest.raises(Unavailable):
        handler.handle_failure(delivery, RuntimeError())
    assert [word for _, word in bus.settled] == ["nak"] * 4


def test_a_video_that_fails_before_it_starts_keeps_its_request(
    handler: RequestHandler, sink: ScriptedSink, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Its settings, its warnings, and the digest by which its idempotency key finds it."""
    fields = {"seed": 7, "metadata": {"a": "b"}, "seconds": 4, "num_frames": 13}
    put_request(bus, key, **fields, request_hash="ab" * 32)
    sink.response = SinkResponse(SinkOutcome.REFUSED, Failure(code="x", message="refused"))
    _handle(handler, bus)
    data = _failed(ledger, key)
    assert data.request == resolved(key, **fields)
    assert data.request_hash == "ab" * 32
    assert [one.code for one in data.warnings] == ["seconds_ignored"]
    assert data.prompt is None


def test_an_invalid_request_keeps_its_digest(
    handler: RequestHandler, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """`submit` may have accepted it by the limits of another version."""
    put_request(bus, key, num_frames=8, request_hash="ab" * 32)
    _handle(handler, bus)
    data = _failed(ledger, key)
    assert (data.request, data.request_hash, data.prompt) == (None, "ab" * 32, "a red circle")

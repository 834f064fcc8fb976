"""What `dispatch` does with one request, in every state that it may find the video in."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from functions.dispatch.delivery import Deliveries
from functions.dispatch.sink import Answer, Ending
from functions.shared.errors import Unavailable
from functions.shared.streams.bus import Message
from functions.shared.streams.ledger import Ledger, Snapshot
from functions.shared.subjects import VIDEOS, VideoKey
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
    started,
)


@dataclass
class ScriptedSink:
    """Answers as it was told to, after doing what a worker would have done meanwhile."""

    answer: Answer = field(default_factory=lambda: Answer(Ending.CLOSED))
    sent: list[Message] = field(default_factory=list)
    work: object = None

    def send(self, message: Message) -> Answer:
        """See `Sink.send`."""
        self.sent.append(message)
        if callable(self.work):
            self.work()
        return self.answer


@pytest.fixture
def sink() -> ScriptedSink:
    """A sink whose exchange ends without a word."""
    return ScriptedSink()


@pytest.fixture
def deliveries(ledger: Ledger, profile: Profile, sink: ScriptedSink) -> Deliveries:
    """Over everything in memory."""
    return Deliveries(ledger, profile, sink)  # type: ignore[arg-type]  # stands in for Sink


def _handle(deliveries: Deliveries, bus: MemoryBus) -> str:
    delivery = bus.take()
    assert delivery is not None
    deliveries.handle(delivery)
    return bus.settled[-1][1]


def _failure(ledger: Ledger, key: VideoKey) -> Failed:
    data = ledger.read(key).data
    assert isinstance(data, Failed)
    return data


def test_a_video_that_was_made_is_settled(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """The stream says 'completed', so the request is done with."""
    put_request(bus, key)

    def make() -> None:
        state = publish(ledger, Snapshot(key), EventName.STARTED, started(key))
        publish(ledger, state, EventName.COMPLETED, completed(started(key)))

    sink.work = make
    assert _handle(deliveries, bus) == "ack"
    assert sink.sent[0].seq == 1


def test_an_exchange_that_ended_well_without_a_video_is_repeated(
    deliveries: Deliveries, bus: MemoryBus, key: VideoKey
) -> None:
    """A time-out on the way ends as a clean 200: only the stream tells what happened."""
    put_request(bus, key)
    assert _handle(deliveries, bus) == "nak"


def test_a_busy_worker_uses_up_no_attempt(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """However often nobody is free, the video just waits."""
    put_request(bus, key)
    sink.answer = Answer(Ending.BUSY)
    for _ in range(10):
        assert _handle(deliveries, bus) == "nak"
    assert ledger.read(key) == Snapshot(key)


def test_a_finished_video_is_not_sent_again(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """A request published again never reopens a video."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.CANCELLED, Cancelled(created_at=CREATED))
    assert _handle(deliveries, bus) == "ack"
    assert not sink.sent


def test_a_video_with_a_live_lease_is_left_alone(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """Its worker lives, whatever happened to the connection to it."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    assert _handle(deliveries, bus) == "nak"
    assert not sink.sent


def test_an_expired_lease_lets_another_worker_try(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """The worker is gone, and the video goes on elsewhere."""
    put_request(bus, key)
    publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    bus.advance(21)
    _handle(deliveries, bus)
    assert len(sink.sent) == 1


@pytest.mark.parametrize("said", [True, False])
def test_the_third_attempt_is_the_last(
    deliveries: Deliveries,
    bus: MemoryBus,
    ledger: Ledger,
    sink: ScriptedSink,
    key: VideoKey,
    said: bool,
) -> None:
    """The video fails with what its last worker said, or with its silence as the reason."""
    put_request(bus, key)
    data = started(key, attempt=3, seconds=0)
    state = publish(ledger, Snapshot(key), EventName.STARTED, data)
    if said:
        error = Failure(code="engine_crashed", message="it crashed")
        publish(ledger, state, EventName.PROGRESSED, progressed(data, error=error))
    assert _handle(deliveries, bus) == "ack"
    assert not sink.sent
    failed = _failure(ledger, key)
    assert failed.error.code == ("engine_crashed" if said else "worker_lost")
    assert failed.request is not None
    assert failed.attempt == 3


@pytest.mark.parametrize(
    ("payload", "code", "echo"),
    [
        (b"garbage \xff", "invalid_cloudevent", None),
        (b"", "invalid_cloudevent", None),
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
def test_a_request_that_can_not_be_run_fails_with_the_reason(
    deliveries: Deliveries,
    bus: MemoryBus,
    ledger: Ledger,
    sink: ScriptedSink,
    key: VideoKey,
    payload: bytes,
    code: str,
    echo: str | None,
) -> None:
    """A publisher without an answer of its own finds it in the video; nothing is sent."""
    bus.inject(key.request_subject, payload)
    assert _handle(deliveries, bus) == "term"
    failed = _failure(ledger, key)
    assert (failed.error.code, failed.prompt) == (code, echo)
    assert not sink.sent


def test_garbage_about_a_video_does_not_stop_it(
    deliveries: Deliveries, bus: MemoryBus, sink: ScriptedSink, key: VideoKey
) -> None:
    """What nobody can read says nothing, so the request is sent."""
    put_request(bus, key)
    bus.inject(key.event_subject("started"), b"garbage")
    _handle(deliveries, bus)
    assert len(sink.sent) == 1


def test_a_subject_with_odd_tokens_is_dropped(
    deliveries: Deliveries, bus: MemoryBus, sink: ScriptedSink
) -> None:
    """It names no video that could be spoken of, so it is settled and logged."""
    bus.inject("kinora.requests.a.b*", request_payload({"prompt": "x"}))
    assert _handle(deliveries, bus) == "term"
    assert not sink.sent
    assert bus.list_subjects(VIDEOS, "kinora.videos.*.*.*") == []


def test_a_refusal_by_the_worker_fails_the_video(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """No other worker would take it either."""
    put_request(bus, key)
    sink.answer = Answer(Ending.REFUSED, Failure(code="invalid_value", message="too big"))
    assert _handle(deliveries, bus) == "ack"
    assert _failure(ledger, key).error.message == "too big"


def test_a_failure_that_comes_too_late_changes_nothing(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, sink: ScriptedSink, key: VideoKey
) -> None:
    """The video was claimed in the meantime: the request is given back and looked at again."""
    put_request(bus, key)
    sink.answer = Answer(Ending.REFUSED, Failure(code="x", message="x"))
    sink.work = lambda: publish(ledger, Snapshot(key), EventName.STARTED, started(key))
    assert _handle(deliveries, bus) == "nak"
    assert ledger.read(key).name is EventName.STARTED


def test_a_request_over_which_we_stumble_does_not_hold_a_slot_for_ever(
    deliveries: Deliveries, bus: MemoryBus, ledger: Ledger, key: VideoKey
) -> None:
    """Tried again a few times, it fails, and makes room."""
    put_request(bus, key)
    for _ in range(5):
        delivery = bus.take()
        assert delivery is not None
        deliveries.stumble(delivery, RuntimeError("secret"))
    assert [word for _, word in bus.settled] == ["nak"] * 4 + ["term"]
    failed = _failure(ledger, key)
    assert failed.error.code == "internal_error"
    assert "secret" not in failed.error.message


def test_a_request_is_not_given_up_while_nobody_can_be_told(
    deliveries: Deliveries,
    bus: MemoryBus,
    ledger: Ledger,
    key: VideoKey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Given up without `failed`, its video would wait for ever."""

    def away(_: VideoKey) -> Snapshot:
        raise Unavailable

    put_request(bus, key)
    for _ in range(4):
        delivery = bus.take()
        assert delivery is not None
        deliveries.stumble(delivery, RuntimeError())
    monkeypatch.setattr(ledger, "read", away)
    delivery = bus.take()
    assert delivery is not None
    with pytest.raises(Unavailable):
        deliveries.stumble(delivery, RuntimeError())
    assert [word for _, word in bus.settled] == ["nak"] * 4

"""The HTTP side of `generate`: one open response, and readiness."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from functions.generate.app import create_app
from functions.shared.config import Settings
from functions.shared.streams.ledger import Ledger
from functions.shared.subjects import VideoKey
from functions.shared.video.events import EventName
from tests.fakes import MemoryBus, MemoryStore
from tests.patience import scaled, wait_until
from tests.unit.events import put_request
from tests.unit.step_engine import StepEngine

EVENT = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/test",
    "ce-type": "dev.kinora.video.requested.v1",
    "content-type": "application/json",
}


@pytest.fixture
def bus() -> MemoryBus:
    """Empty streams."""
    return MemoryBus()


@pytest.fixture
def engine() -> StepEngine:
    """An engine that the test controls."""
    return StepEngine()


@pytest.fixture
def client(bus: MemoryBus, engine: StepEngine) -> Iterator[FlaskClient]:
    """A replica of `generate`."""
    app = create_app(Settings(), bus, MemoryStore(), engine)
    yield app.test_client()
    engine.go.set()
    app.extensions["kinora.worker"].drain()


def _ready(client: FlaskClient) -> bool:
    return client.get("/readyz").status_code == 200


def test_the_response_lasts_as_long_as_the_video(
    client: FlaskClient, bus: MemoryBus, engine: StepEngine
) -> None:
    """A line at once, and a last one with the outcome."""
    seq = put_request(bus, VideoKey("acme", "v1"))
    response = client.post("/", data=b"{}", headers={**EVENT, "ce-sequence": str(seq)})
    lines = response.iter_encoded()
    assert response.headers["x-kinora-worker"]
    assert json.loads(next(lines))["state"] == "in_progress"
    assert _ready(client), "an open response keeps the replica ready"
    engine.go.set()
    assert [json.loads(line)["state"] for line in lines][-1] == "completed"


@pytest.mark.parametrize("read_first", [True, False])
def test_a_client_that_disconnects_does_not_stop_the_video(
    client: FlaskClient, bus: MemoryBus, engine: StepEngine, read_first: bool
) -> None:
    """The same attempt finishes it; until then the replica is not ready for another."""
    key = VideoKey("acme", "v1")
    seq = put_request(bus, key)
    response = client.post("/", data=b"{}", headers={**EVENT, "ce-sequence": str(seq)})
    if read_first:
        next(iter(response.response))
    response.close()
    assert engine.begun.wait(scaled(10))
    assert not _ready(client)
    engine.go.set()
    ledger = Ledger(bus, takeover_grace=0)
    wait_until(
        lambda: ledger.read(key).name is EventName.COMPLETED,
        seconds=10,
        what="the video is completed",
    )
    assert ledger.read(key).attempt == 1
    wait_until(lambda: _ready(client), seconds=5, what="the replica is ready again")


@pytest.mark.parametrize("sequence", [None, "", "x", "-1", "1" * 5000, "²"])
def test_a_request_without_a_valid_sequence_is_refused_permanently(
    client: FlaskClient, sequence: str | None
) -> None:
    """400: every other replica would refuse it too."""
    headers = EVENT if sequence is None else {**EVENT, "ce-sequence": sequence}
    response = client.post("/", data=b"{}", headers=headers)
    assert response.status_code == 400
    assert response.get_json()["error"]["param"] == "sequence"


def test_an_invalid_cloudevent_is_refused_permanently(client: FlaskClient) -> None:
    """400, naming the attribute."""
    headers = {name: value for name, value in EVENT.items() if name != "ce-id"}
    response = client.post("/", data=b"{}", headers={**headers, "ce-sequence": "1"})
    assert response.status_code == 400
    assert response.get_json()["error"]["param"] == "id"


def test_the_request_comes_from_the_stream_and_not_from_the_body(
    client: FlaskClient, bus: MemoryBus, engine: StepEngine
) -> None:
    """The body is not even parsed."""
    seq = put_request(bus, VideoKey("acme", "v1"))
    engine.go.set()
    response = client.post("/", data=b"not JSON", headers={**EVENT, "ce-sequence": str(seq)})
    assert json.loads(response.data.splitlines()[-1])["state"] == "completed"
    assert [request.prompt for request in engine.requests] == ["a red circle"]


def test_a_replica_that_cannot_render_is_unavailable(
    client: FlaskClient, bus: MemoryBus, engine: StepEngine
) -> None:
    """503 while the model loads or NATS is away; readiness has the reason of a failed load."""
    seq = str(put_request(bus, VideoKey("acme", "v1")))
    engine.ready = False
    assert client.post("/", data=b"{}", headers={**EVENT, "ce-sequence": seq}).status_code == 503
    assert not _ready(client)
    engine.failure = "the checkpoint is truncated"
    assert "truncated" in client.get("/readyz").get_json()["error"]["message"]
    engine.ready, engine.failure = True, None
    bus.unavailable = True
    assert client.post("/", data=b"{}", headers={**EVENT, "ce-sequence": seq}).status_code == 503
    assert not _ready(client)
    bus.unavailable = False
    assert _ready(client)

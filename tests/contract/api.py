"""Both functions with streams and a bucket in memory, for tests of the HTTP contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from functions.shared.config import Settings
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.video_state import Snapshot
from functions.shared.subjects import ALL_REQUESTS, ALL_VIDEOS, REQUESTS, VIDEOS, VideoKey
from functions.shared.video.events import EventName
from functions.shared.video_objects import attempt_prefix
from functions.status.app import create_app as create_status
from functions.submit.app import create_app as create_submit
from tests.fakes import MemoryBus, MemoryStore
from tests.unit.events import completed, progressed, publish, put_request, resolved, started

EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/test",
    "type": "dev.kinora.video.requested.v1",
}
BINARY = {f"ce-{name}": value for name, value in EVENT.items()} | {
    "content-type": "application/json"
}
# Each text is within its own limit, but together they exceed the limit of an event.
TOO_LARGE: dict[str, Any] = {
    "prompt": "\U0001f98a" * 4096,
    "negative_prompt": "\U0001f98a" * 4096,
    "metadata": {f"{n:02d}" * 32: "\U0001f98a" * 512 for n in range(16)},
}


@dataclass
class Api:
    """Both functions on the same streams, as the gateway combines them."""

    bus: MemoryBus
    store: MemoryStore
    submit: FlaskClient
    status: FlaskClient

    def create(self, **fields: Any) -> TestResponse:
        """POST /v1/videos in JSON."""
        return self.submit.post("/v1/videos", json={"prompt": "a red circle", **fields})

    def requests(self) -> list[str]:
        """The subjects in REQUESTS."""
        return self.bus.list_subjects(REQUESTS, ALL_REQUESTS)

    def is_empty(self) -> bool:
        """There is no request, no event and no file."""
        return not (
            self.requests() or self.bus.list_subjects(VIDEOS, ALL_VIDEOS) or self.store.files
        )


def make_api(settings: Settings, store: MemoryStore | None = None) -> Api:
    """Both functions with these settings."""
    bus, store = MemoryBus(), store or MemoryStore()
    return Api(
        bus,
        store,
        create_submit(settings, bus, store).test_client(),
        create_status(settings, bus, store).test_client(),
    )


def complete(api: Api, name: str = "v1", account: str = "default", **fields: Any) -> VideoKey:
    """A completed video with two of its files; `fields` are those of its request."""
    key = VideoKey(account, name)
    ledger = Ledger(api.bus, takeover_grace=0)
    put_request(api.bus, key)
    begun = started(key).model_copy(update={"request": resolved(key, **fields)})
    state = publish(ledger, Snapshot(key), EventName.STARTED, begun)
    prefix = f"{key.object_prefix}1-x/"
    publish(ledger, state, EventName.COMPLETED, completed(begun, prefix=prefix, size=10))
    api.store.files[f"{prefix}video.mp4"] = (b"0123456789", "video/mp4")
    api.store.files[f"{prefix}thumbnail.jpg"] = (b"jpeg", "image/jpeg")
    return key


def preview(api: Api, name: str = "v1", account: str = "default", number: int = 1) -> VideoKey:
    """A video in its first attempt, which has stored preview `number`."""
    key = VideoKey(account, name)
    ledger = Ledger(api.bus, takeover_grace=0)
    put_request(api.bus, key)
    begun = started(key)
    state = publish(ledger, Snapshot(key), EventName.STARTED, begun)
    publish(ledger, state, EventName.PROGRESSED, progressed(begun, preview=number))
    prefix = attempt_prefix(key, begun.attempt, begun.lease.id)
    api.store.files[f"{prefix}preview.jpg"] = (b"picture", "image/jpeg")
    return key


def error_of(response: TestResponse) -> dict[str, Any]:
    """The error in a response, which has the API's form and a request id."""
    body = response.get_json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error

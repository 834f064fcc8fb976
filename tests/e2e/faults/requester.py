"""Requests single videos and inspects them, for tests that inject one fault at a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from tests.e2e.faults.bucket import Bucket
from tests.e2e.faults.caller_record import CallerRecord
from tests.e2e.faults.callers import Callers
from tests.e2e.faults.checker import read_histories
from tests.e2e.faults.history import History
from tests.e2e.faults.schedule import Submission
from tests.e2e.faults.stack import FaultyStack
from tests.e2e.faults.streams import StoredMessage
from tests.engines import STEPS
from tests.patience import wait_until

FIELDS: Final[dict[str, Any]] = {"size": "96x64", "num_frames": 25, **STEPS}


class Requester:
    """Requests videos and reads their events from the streams."""

    def __init__(self, stack: FaultyStack) -> None:
        """Send requests to `stack`."""
        self.stack: Final = stack
        self.callers: Final = Callers(stack.client_url, stack.streams)

    def submit(
        self,
        interface: str = "http",
        nonce: str | None = None,
        *,
        account: str = "acme",
        tries: int = 8,
        **fields: Any,
    ) -> CallerRecord:
        """Request a video, and return the record of the last try."""
        nonce = nonce or uuid.uuid4().hex
        submission = Submission(0, interface, account, nonce, {**FIELDS, **fields}, "none", 0)
        return Callers(self.stack.client_url, self.stack.streams, tries=tries).run(submission)[-1]

    def request(self, **fields: Any) -> CallerRecord:
        """Request a video, and assert that it is accepted."""
        record = self.submit(**fields)
        assert record.outcome == "accepted"
        return record

    def request_and_hold(self, count: int = 1) -> list[CallerRecord]:
        """Request videos, and hold their engines mid-video until `engines.resume`."""
        engines = self.stack.engines
        engines.hold()
        records = [self.request() for _ in range(count)]
        for record in records:
            self.wait(record, "started")
        workers = [self.worker_of(record) for record in records]
        engines.resume(*workers)
        for name in workers:
            engines.hold_mid_video(name)
        for record in records:
            self.wait(record, "progressed", lambda event: 0 < event.data["progress"] < 100)
        return records

    def states_of(self, nonce: str) -> list[str]:
        """The states of all videos whose request contains this nonce."""
        by_key = read_histories(self.stack.streams)[0]
        return [
            h.state for h in by_key.values() if any(nonce.encode() in r.payload for r in h.requests)
        ]

    def history(self, record: CallerRecord) -> History:
        """Every message that was ever stored about the video."""
        key = (record.account, str(record.video_id))
        return read_histories(self.stack.streams)[0].get(key) or History(key)

    def wait(
        self,
        record: CallerRecord,
        name: str,
        condition: Callable[[StoredMessage], bool] | None = None,
        *,
        attempt: int | None = None,
        seconds: float = 60,
    ) -> StoredMessage:
        """Return the first event `name` of `attempt` that meets `condition`, once it is stored."""
        # Not those of every video: they are read ten times a second, beside what is tested.
        only = f"{record.account}.{record.video_id}.*"

        def found() -> StoredMessage | None:
            for event in self.stack.streams.audit("VIDEOS", only):
                if event.name != name or attempt not in (None, event.data.get("attempt")):
                    continue
                if condition is None or condition(event):
                    return event
            return None

        return wait_until(found, seconds=seconds, what=f"{record.video_id} is {name}", every=0.1)

    def worker_of(self, record: CallerRecord) -> str:
        """The replica that started the video."""
        return self.stack.worker_of(str(record.video_id))

    def check(self, record: CallerRecord, *, state: str, attempts: int) -> None:
        """Assert the video's state and number of attempts, and that it has no violations."""
        bucket = Bucket(self.stack.s3())
        history = self.history(record)
        violations = [*history.check(), *bucket.check(history, record.fields)]
        assert (history.state, history.attempts, violations) == (state, attempts, [])

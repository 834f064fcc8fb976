"""One caller with one video, for the tests that break one thing at a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, Final

from tests.e2e.faults.bucket import Bucket
from tests.e2e.faults.callers import Callers, Told
from tests.e2e.faults.checker import collect
from tests.e2e.faults.histories import History
from tests.e2e.faults.plan import Submission
from tests.e2e.faults.stack import FaultyStack
from tests.e2e.faults.streams import Stored
from tests.engines import STEPS
from tests.patience import wait_until

ASKED: Final[dict[str, Any]] = {"size": "96x64", "num_frames": 25, **STEPS}


class Asking:
    """Asks for videos and looks at what the streams say of them."""

    def __init__(self, stack: FaultyStack) -> None:
        """Ask `stack`."""
        self.stack: Final = stack
        self.callers: Final = Callers(stack.client_url, stack.streams)

    def submit(
        self,
        entrance: str = "http",
        nonce: str | None = None,
        *,
        account: str = "acme",
        tries: int = 8,
        **fields: Any,
    ) -> Told:
        """Ask for a video, and return what was told about the last try."""
        nonce = nonce or uuid.uuid4().hex
        submission = Submission(0, entrance, account, nonce, {**ASKED, **fields}, "none", 0)
        return Callers(self.stack.client_url, self.stack.streams, tries=tries).run(submission)[-1]

    def ask(self, **fields: Any) -> Told:
        """Ask for a video that is accepted at once."""
        told = self.submit(**fields)
        assert told.outcome == "accepted"
        return told

    def ask_and_hold(self, count: int = 1) -> list[Told]:
        """Ask for videos, which stop in the middle until `engines.let_go`."""
        engines = self.stack.engines
        engines.hold()
        asked = [self.ask() for _ in range(count)]
        for told in asked:
            self.wait(told, "started")
        workers = [self.worker_of(told) for told in asked]
        engines.let_go(*workers)
        for name in workers:
            engines.hold_in_the_middle(name)
        for told in asked:
            self.wait(told, "progressed", lambda event: 0 < event.data["progress"] < 100)
        return asked

    def states_of(self, nonce: str) -> list[str]:
        """The states of all videos that were asked for with this nonce."""
        by_key = collect(self.stack.streams)[0]
        return [
            h.state for h in by_key.values() if any(nonce.encode() in r.payload for r in h.requests)
        ]

    def history(self, told: Told) -> History:
        """All that was ever stored about the video."""
        key = (told.account, str(told.video_id))
        return collect(self.stack.streams)[0].get(key) or History(key)

    def wait(
        self,
        told: Told,
        name: str,
        condition: Callable[[Stored], bool] | None = None,
        *,
        attempt: int | None = None,
        seconds: float = 60,
    ) -> Stored:
        """Return the event `name`, of this attempt and with `condition` true, once it is stored."""

        def found() -> Stored | None:
            for event in self.history(told).events:
                if event.name != name or attempt not in (None, event.data.get("attempt")):
                    continue
                if condition is None or condition(event):
                    return event
            return None

        return wait_until(found, seconds=seconds, what=f"{told.video_id} is {name}", every=0.1)

    def worker_of(self, told: Told) -> str:
        """The replica that has begun the video."""
        return self.stack.worker_of(str(told.video_id))

    def check(self, told: Told, *, state: str, attempts: int) -> None:
        """The video must be in this state after so many attempts, and nothing odd about it."""
        bucket = Bucket(self.stack.s3())
        history = self.history(told)
        problems = [*history.check(), *bucket.check(history, told.fields)]
        assert (history.state, history.attempts, problems) == (state, attempts, [])

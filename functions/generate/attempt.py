"""One attempt at one video: the work, and how it ends."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from functions.generate.engine.messages import Progress, Rendered
from functions.generate.lease import HeldLease
from functions.shared.errors import KinoraError, RenderCancelled
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace, VideoState
from functions.shared.streams.validation import StoredRequest
from functions.shared.streams.video_events import Source
from functions.shared.video.events import EngineUsed, EventName, Failure, Output
from functions.shared.video.progress import Stage, percent
from functions.shared.video.requests import ResolvedRequest

log = logging.getLogger(__name__)


class Renderer(Protocol):
    """What an attempt needs of the engine."""

    def render(
        self,
        request: ResolvedRequest,
        video_id: str,
        folder: Path,
        on_progress: Any,
        cancelled: threading.Event,
    ) -> Rendered:
        """See `Engine.render`."""


@dataclass(frozen=True)
class Means:
    """What attempts work with."""

    ledger: Ledger
    bus: Bus
    store: Store
    engine: Renderer
    renew_seconds: float


class Attempt:
    """Makes a video whose `started` this process has published.

    `run` is called once, on a thread that outlives the HTTP response; all else from any thread.
    """

    def __init__(self, means: Means, stored: StoredRequest, started: VideoState) -> None:
        """Take over the claim `started` on `stored`."""
        self.finished: Final = threading.Event()
        # False once the response that reports on this attempt has been closed.
        self.connected = True
        self._means = means
        self._stored = stored
        self._number = started.attempt
        self._state = "in_progress"
        self._progress, self._stage = 0, Stage.ENCODING
        self._steps_in_vain = 0
        self._lease = HeldLease(
            means.ledger,
            means.bus,
            started,
            source=Source.GENERATE,
            renew_seconds=means.renew_seconds,
            report=self._reached,
        )
        # No other attempt writes there, so whatever is found there is this one's.
        self._prefix = f"{stored.key.object_prefix}{self._number}-{self._lease.lease.id}/"

    def _reached(self) -> dict[str, Any]:
        return {"progress": self._progress, "stage": self._stage}

    def disconnect(self) -> None:
        """Nobody listens any more; the video goes on."""
        self.connected = False

    def line(self) -> dict[str, Any]:
        """How far the attempt is, or how it ended, for the open response."""
        return {"state": self._state, "attempt": self._number, **self._reached()}

    def run(self) -> None:
        """Make the video and say how it went; never raises."""
        key = self._stored.key
        log.info("%s: attempt %d begins", key.video_id, self._number)
        try:
            with self._lease.kept():
                self._state = self._work()
        except LostRace as lost:
            self._state = "lost"
            log.info("%s: left to %s", key.video_id, lost.newest.name)
            self._clean_up()
        except Exception:
            # Nobody hears of this one: its lease expires, and another attempt begins.
            self._state = "abandoned"
            log.exception("%s: attempt %d broke off", key.video_id, self._number)
        finally:
            self.finished.set()
            log.info(
                "%s: attempt %d ended: %s, %d steps in vain",
                key.video_id,
                self._number,
                self._state,
                self._steps_in_vain,
            )

    def _work(self) -> str:
        try:
            with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
                completed = self._make(Path(folder))
        except RenderCancelled:
            # The lease was lost; who has it now, or how the video ended, is none of our business.
            self._clean_up()
            return "lost"
        except Exception as problem:  # noqa: BLE001 - whatever went wrong, the video must hear of it
            return self._fail(problem)
        self._lease.end(EventName.COMPLETED, **completed)
        return "completed"

    def _make(self, folder: Path) -> dict[str, Any]:
        rendered = self._means.engine.render(
            self._stored.request,
            self._stored.key.video_id,
            folder,
            self._on_progress,
            self._lease.lost,
        )
        begun = time.monotonic()
        self._put(rendered.thumbnail, "thumbnail.jpg", "image/jpeg", 0)
        self._put(rendered.spritesheet, "spritesheet.jpg", "image/jpeg", 1)
        self._put(rendered.video, "video.mp4", "video/mp4", 2)
        with rendered.video.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        output = Output(
            prefix=self._prefix,
            bytes=rendered.video.stat().st_size,
            sha256=digest,
            width=rendered.width,
            height=rendered.height,
            frames=rendered.frames,
        )
        seconds = {**rendered.timings, Stage.UPLOADING: time.monotonic() - begun}
        return {
            "output": output,
            "timings": {stage: round(taken, 3) for stage, taken in seconds.items()},
            "model_revision": rendered.model_revision,
            "engine": EngineUsed.model_validate(asdict(rendered.engine)),
        }

    def _put(self, path: Path, name: str, content_type: str, done: int) -> None:
        if self._lease.lost.is_set():
            raise RenderCancelled
        self._progress, self._stage = percent(Stage.UPLOADING, done, 3), Stage.UPLOADING
        self._means.store.put(self._prefix + name, path, content_type)

    def _on_progress(self, progress: Progress) -> None:
        self._steps_in_vain += self._lease.lost.is_set()
        reached = percent(progress.stage, progress.done, progress.total)
        self._progress, self._stage = max(self._progress, reached), progress.stage

    def _fail(self, problem: Exception) -> str:
        """Say that the attempt failed: for good, or to be tried again."""
        if not isinstance(problem, KinoraError):
            log.error("%s: unexpected", self._stored.key.video_id, exc_info=problem)
            problem = KinoraError("The worker met an unexpected error; its log says more")
        log.warning("%s: %s", self._stored.key.video_id, problem.message)
        error = Failure(code=problem.code, message=problem.message)
        self._clean_up()
        if problem.retryable:
            self._lease.release(error=error, **self._reached())
            return "released"
        self._lease.end(EventName.FAILED, error=error)
        return "failed"

    def _clean_up(self) -> None:
        try:
            self._means.store.delete_prefix(self._prefix)
        except KinoraError as problem:
            # The sweeper of `dispatch` removes them when the store is back.
            log.warning("files of %s are left behind: %s", self._prefix, problem.message)

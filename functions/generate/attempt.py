"""One attempt to render a video, and how it ends."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from structlog.contextvars import bound_contextvars

from functions.generate.attempt_files import AttemptFiles
from functions.generate.engine.messages import Progress
from functions.generate.lease import HeldLease
from functions.generate.render_engine import RenderEngine
from functions.shared.errors import KinoraError, RenderCancelled
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.validation import StoredRequest
from functions.shared.streams.video_events import Source, VideoEvent
from functions.shared.streams.video_state import VideoState
from functions.shared.video.events import EngineUsed, EventName, Failure, Started
from functions.shared.video.progress import Stage, percent
from functions.shared.video.warnings import Warnings, merged
from functions.shared.video_objects import attempt_prefix

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AttemptDependencies:
    """What every attempt of a worker uses.

    Attributes:
        ledger: where events are published.
        bus: tells of events that others publish.
        store: where the files go.
        engine: renders the video.
        renew_seconds: pause between two renewals of the lease.
        upload_retry_seconds: how long a finished rendering waits for the store.
    """

    ledger: Ledger
    bus: Bus
    store: Store
    engine: RenderEngine
    renew_seconds: float
    upload_retry_seconds: float


class Attempt:
    """Renders a video whose `started` this process has published.

    `run` is called once, on a thread that outlives the HTTP response; everything else may be called
    from any thread.
    """

    def __init__(
        self, dependencies: AttemptDependencies, stored: StoredRequest, started: VideoState
    ) -> None:
        """Continue from `started`, which claimed the video of `stored`."""
        self.finished: Final = threading.Event()
        # False once the response that reports on this attempt has been closed.
        self.connected = True
        self._dependencies = dependencies
        self._stored = stored
        self._number = started.attempt
        self._log_fields = asdict(stored.key) | {"attempt": started.attempt}
        self._state = "in_progress"
        self._progress, self._stage = 0, Stage.ENCODING
        self._steps_after_loss = 0
        self._warnings: Warnings = ()
        if isinstance(started.data, Started):
            self._log_fields["worker"] = started.data.worker
            self._warnings = started.data.warnings
        self._lease = HeldLease(
            dependencies.ledger,
            dependencies.bus,
            started,
            source=Source.GENERATE,
            renew_seconds=dependencies.renew_seconds,
            report=lambda: {**self._report(), **self._found(), **self._previewed()},
        )
        self._files = AttemptFiles(
            dependencies.store,
            attempt_prefix(stored.key, self._number, self._lease.lease.id),
            lost=self._lease.lost,
            retry_seconds=dependencies.upload_retry_seconds,
        )

    def _report(self) -> dict[str, Any]:
        return {"progress": self._progress, "stage": self._stage}

    def _found(self) -> dict[str, Any]:
        return {"warnings": self._warnings}

    def _previewed(self) -> dict[str, Any]:
        return {"preview": self._files.previews.stored or None}

    def disconnect(self) -> None:
        """Note that the response was closed; the attempt continues."""
        self.connected = False

    def status_line(self) -> dict[str, Any]:
        """The attempt's state and progress, for the open response."""
        return {"state": self._state, "attempt": self._number, **self._report()}

    @property
    def store_problem(self) -> str | None:
        """Why the finished rendering waits for the object store; None if it does not."""
        return self._files.problem

    def run(self) -> None:
        """Render the video and publish the outcome; never raises."""
        with bound_contextvars(**self._log_fields):
            self._run()

    def _run(self) -> None:
        log.info("attempt begins")
        try:
            with self._lease.renewing():
                self._state = self._render_and_publish()
        except LostRace as lost:
            self._state = "lost"
            log.info("lost to %s", lost.newest.name)
            # Without an event, the race has no winner: the stream has lost the video's state,
            # which is restored from these files.
            if lost.newest.seq:
                self._files.delete()
            else:
                self._files.previews.delete()
        except Exception:
            # Nothing is published: the lease expires, and another attempt starts.
            self._state = "abandoned"
            log.exception("attempt was abandoned")
        finally:
            self.finished.set()
            log.info(
                "attempt ended: %s, %d steps after the lease was lost",
                self._state,
                self._steps_after_loss,
            )

    def _render_and_publish(self) -> str:
        try:
            with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
                completed = self._render_and_upload(Path(folder))
                self._files.upload_record(completed, Path(folder))
        except RenderCancelled:
            # The lease was lost: the video is another worker's, or has ended.
            self._files.delete()
            return "lost"
        except Exception as problem:  # noqa: BLE001 - every error must be published
            return self._fail(problem)
        self._lease.publish_final(completed)
        self._files.previews.delete()
        return "completed"

    def _render_and_upload(self, folder: Path) -> VideoEvent:
        """Render and upload; returns the event `completed`."""
        with self._files.previews.running():
            rendered = self._dependencies.engine.render(
                self._stored.request,
                self._stored.key.video_id,
                folder,
                self._on_progress,
                self._lease.lost,
            )
        upload_began = time.monotonic()
        output = self._files.upload(rendered, self._on_file)
        timings = {**rendered.timings, Stage.UPLOADING: time.monotonic() - upload_began}
        return self._lease.event(
            EventName.COMPLETED,
            **self._found(),
            output=output,
            timings={stage: round(seconds, 3) for stage, seconds in timings.items()},
            model_revision=rendered.model_revision,
            engine=EngineUsed.model_validate(asdict(rendered.engine)),
        )

    def _on_file(self, done: int, total: int) -> None:
        self._progress, self._stage = percent(Stage.UPLOADING, done, total), Stage.UPLOADING

    def _on_progress(self, progress: Progress) -> None:
        self._steps_after_loss += self._lease.lost.is_set()
        reached = percent(progress.stage, progress.done, progress.total)
        self._progress, self._stage = max(self._progress, reached), progress.stage
        self._warnings = merged(self._warnings, progress.warnings)
        if progress.preview is not None:
            self._files.previews.offer(progress.preview)

    def _fail(self, problem: Exception) -> str:
        """Publish that the attempt failed: the video may be retried, or has failed for good."""
        if not isinstance(problem, KinoraError):
            log.error("unexpected error", exc_info=problem)
            problem = KinoraError("The worker failed unexpectedly; its log says why")
        log.warning("attempt failed: %s", problem.message)
        error = Failure(code=problem.code, message=problem.message)
        self._files.delete()
        if problem.retryable:
            self._lease.release(error=error, **self._report(), **self._found())
            return "released"
        failed = self._lease.event(EventName.FAILED, error=error, **self._found())
        self._lease.publish_final(failed)
        return "failed"

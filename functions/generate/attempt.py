"""One attempt to render a video, and how it ends."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from functions.generate.engine.messages import Progress
from functions.generate.lease import HeldLease
from functions.generate.render_engine import RenderEngine
from functions.shared.errors import KinoraError, RenderCancelled
from functions.shared.storage import Store
from functions.shared.streams.bus import Bus
from functions.shared.streams.ledger import Ledger, LostRace
from functions.shared.streams.validation import StoredRequest
from functions.shared.streams.video_events import Source
from functions.shared.streams.video_state import VideoState
from functions.shared.video.events import EngineUsed, EventName, Failure, Output, Started
from functions.shared.video.progress import Stage, percent
from functions.shared.video.warnings import Warnings, merged

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
    """

    ledger: Ledger
    bus: Bus
    store: Store
    engine: RenderEngine
    renew_seconds: float


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
        self._state = "in_progress"
        self._progress, self._stage = 0, Stage.ENCODING
        self._steps_after_loss = 0
        self._warnings: Warnings = (
            started.data.warnings if isinstance(started.data, Started) else ()
        )
        self._lease = HeldLease(
            dependencies.ledger,
            dependencies.bus,
            started,
            source=Source.GENERATE,
            renew_seconds=dependencies.renew_seconds,
            report=lambda: {**self._report(), **self._found()},
        )
        # No other attempt writes under this prefix, so all files there are this attempt's.
        self._prefix = f"{stored.key.object_prefix}{self._number}-{self._lease.lease.id}/"

    def _report(self) -> dict[str, Any]:
        return {"progress": self._progress, "stage": self._stage}

    def _found(self) -> dict[str, Any]:
        return {"warnings": self._warnings}

    def disconnect(self) -> None:
        """Note that the response was closed; the attempt continues."""
        self.connected = False

    def status_line(self) -> dict[str, Any]:
        """The attempt's state and progress, for the open response."""
        return {"state": self._state, "attempt": self._number, **self._report()}

    def run(self) -> None:
        """Render the video and publish the outcome; never raises."""
        key = self._stored.key
        log.info("%s: attempt %d begins", key.video_id, self._number)
        try:
            with self._lease.renewing():
                self._state = self._render_and_publish()
        except LostRace as lost:
            self._state = "lost"
            log.info("%s: lost to %s", key.video_id, lost.newest.name)
            self._delete_files()
        except Exception:
            # Nothing is published: the lease expires, and another attempt starts.
            self._state = "abandoned"
            log.exception("%s: attempt %d was abandoned", key.video_id, self._number)
        finally:
            self.finished.set()
            log.info(
                "%s: attempt %d ended: %s, %d steps after the lease was lost",
                key.video_id,
                self._number,
                self._state,
                self._steps_after_loss,
            )

    def _render_and_publish(self) -> str:
        try:
            with tempfile.TemporaryDirectory(prefix="kinora-") as folder:
                completed = self._render_and_upload(Path(folder))
        except RenderCancelled:
            # The lease was lost: the video is another worker's, or has ended.
            self._delete_files()
            return "lost"
        except Exception as problem:  # noqa: BLE001 - every error must be published
            return self._fail(problem)
        self._lease.publish_final(EventName.COMPLETED, **self._found(), **completed)
        return "completed"

    def _render_and_upload(self, folder: Path) -> dict[str, Any]:
        """Render and upload; returns the fields of `completed`."""
        rendered = self._dependencies.engine.render(
            self._stored.request,
            self._stored.key.video_id,
            folder,
            self._on_progress,
            self._lease.lost,
        )
        upload_began = time.monotonic()
        self._upload(rendered.thumbnail, "thumbnail.jpg", "image/jpeg", 0)
        self._upload(rendered.spritesheet, "spritesheet.jpg", "image/jpeg", 1)
        self._upload(rendered.video, "video.mp4", "video/mp4", 2)
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
        timings = {**rendered.timings, Stage.UPLOADING: time.monotonic() - upload_began}
        return {
            "output": output,
            "timings": {stage: round(seconds, 3) for stage, seconds in timings.items()},
            "model_revision": rendered.model_revision,
            "engine": EngineUsed.model_validate(asdict(rendered.engine)),
        }

    def _upload(self, path: Path, name: str, content_type: str, done: int) -> None:
        if self._lease.lost.is_set():
            raise RenderCancelled
        self._progress, self._stage = percent(Stage.UPLOADING, done, 3), Stage.UPLOADING
        self._dependencies.store.put(self._prefix + name, path, content_type)

    def _on_progress(self, progress: Progress) -> None:
        self._steps_after_loss += self._lease.lost.is_set()
        reached = percent(progress.stage, progress.done, progress.total)
        self._progress, self._stage = max(self._progress, reached), progress.stage
        self._warnings = merged(self._warnings, progress.warnings)

    def _fail(self, problem: Exception) -> str:
        """Publish that the attempt failed: the video may be retried, or has failed for good."""
        if not isinstance(problem, KinoraError):
            log.error("%s: unexpected error", self._stored.key.video_id, exc_info=problem)
            problem = KinoraError("The worker failed unexpectedly; its log says why")
        log.warning("%s: %s", self._stored.key.video_id, problem.message)
        error = Failure(code=problem.code, message=problem.message)
        self._delete_files()
        if problem.retryable:
            self._lease.release(error=error, **self._report(), **self._found())
            return "released"
        self._lease.publish_final(EventName.FAILED, error=error, **self._found())
        return "failed"

    def _delete_files(self) -> None:
        try:
            self._dependencies.store.delete_prefix(self._prefix)
        except KinoraError as problem:
            # The sweeper of `dispatch` deletes them when the store is available again.
            log.warning("files of %s were not deleted: %s", self._prefix, problem.message)

"""An engine that a test controls."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from functions.generate.engine.messages import EngineReport, Progress, Rendered
from functions.generate.engine.parent.activity import ActivityRecord, EngineActivity
from functions.shared.errors import KinoraError, RenderCancelled
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.warnings import Warnings


@dataclass
class StepEngine:
    """Renders, or raises `error`, once `go` is set; checks for cancellation like the real engine.

    Attributes:
        go: lets renders finish.
        begun: set once a render has reported progress.
        error: what renders raise, if anything.
        warnings: what renders report of the request.
        requests: every request that was rendered.
        previews: what is put here, renders report as a preview.
        ready: see `Engine.ready`.
        record: see `Engine.activity`.
        failure: see `Engine.failure`.
    """

    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)
    error: KinoraError | Exception | None = None
    requests: list[ResolvedRequest] = field(default_factory=list)
    warnings: Warnings = ()
    previews: queue.SimpleQueue[bytes] = field(default_factory=queue.SimpleQueue)
    ready: bool = True
    record: ActivityRecord = field(default_factory=ActivityRecord)
    failure: str | None = None

    def activity(self) -> EngineActivity:
        """See `Engine.activity`."""
        return self.record.read()

    def render(
        self,
        request: ResolvedRequest,
        video_id: str,  # noqa: ARG002 - of the Protocol
        folder: Path,
        on_progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> Rendered:
        """See `Engine.render`."""
        self.requests.append(request)
        on_progress(Progress(Stage.DENOISING, 1, 2, self.warnings))
        self.begun.set()
        while not self.go.wait(0.005):
            if cancelled.is_set():
                raise RenderCancelled
            while not self.previews.empty():
                picture = self.previews.get_nowait()
                on_progress(Progress(Stage.DENOISING, 1, 2, self.warnings, picture))
        if self.error is not None:
            raise self.error
        for name in ("video.mp4", "thumbnail.jpg", "spritesheet.jpg"):
            (folder / name).write_bytes(name.encode())
        return Rendered(
            folder / "video.mp4",
            folder / "thumbnail.jpg",
            folder / "spritesheet.jpg",
            request.width,
            request.height,
            request.num_frames,
            {"denoising": 1.25},
            "revision",
            EngineReport(
                device="CPU",
                ranks=2,
                precision="float32",
                attention="flash",
                decoder_format="contiguous_format",
                compiled=False,
                threads=1,
                torch="2.13.0",
                quality=request.quality,
                steps_computed=2,
                steps_reused=1,
                peak_memory={"denoising": 9},
            ),
        )

    def close(self) -> None:
        """See `Engine.close`."""

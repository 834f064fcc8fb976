"""The files of one attempt in the object store: uploaded when the store takes them, or deleted."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from functions.generate.engine.messages import Rendered
from functions.generate.preview_uploads import PreviewUploads
from functions.shared.backoff import Backoff
from functions.shared.errors import KinoraError, RenderCancelled, Unavailable
from functions.shared.storage import Store
from functions.shared.streams.video_events import VideoEvent
from functions.shared.video.events import Output
from functions.shared.video_objects import (
    RECORD_FILE,
    SPRITESHEET_FILE,
    THUMBNAIL_FILE,
    VIDEO_FILE,
)

log = logging.getLogger(__name__)

# Between two tries of an upload. The longest is how late a store that is back may be noticed.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0


class AttemptFiles:
    """All files of an attempt, under a prefix that no other attempt uses.

    A finished rendering is worth minutes of GPUs, so a store that refuses it is waited for, with
    the files on this machine. A worker has one attempt at a time, so its disk never holds more than
    one rendering.
    """

    def __init__(
        self, store: Store, prefix: str, *, lost: threading.Event, retry_seconds: float
    ) -> None:
        """Use `prefix` in `store`.

        Args:
            store: where the files go.
            prefix: what their keys begin with.
            lost: set once the attempt has lost its lease; ends the waiting.
            retry_seconds: how long an upload waits for the store.
        """
        self.prefix: Final = prefix
        self.previews: Final = PreviewUploads(store, prefix)
        # Why the upload waits, while it does.
        self.problem: str | None = None
        self._store = store
        self._lost = lost
        self._retry_seconds = retry_seconds
        # Of all uploads together; set by the first.
        self._deadline: float | None = None

    def upload(self, rendered: Rendered, on_file: Callable[[int, int], None]) -> Output:
        """Upload all files; `on_file` is told how many are done, of how many.

        Raises:
            RenderCancelled: the lease was lost.
            Unavailable: the store has refused for `retry_seconds`.
        """
        files = (
            (rendered.thumbnail, THUMBNAIL_FILE, "image/jpeg"),
            (rendered.spritesheet, SPRITESHEET_FILE, "image/jpeg"),
            (rendered.video, VIDEO_FILE, "video/mp4"),
        )
        for done, (path, name, content_type) in enumerate(files):
            on_file(done, len(files))
            self._put(path, name, content_type)
        with rendered.video.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Output(
            prefix=self.prefix,
            bytes=rendered.video.stat().st_size,
            sha256=digest,
            width=rendered.width,
            height=rendered.height,
            frames=rendered.frames,
        )

    def upload_record(self, completed: VideoEvent, folder: Path) -> None:
        """Upload the event that is about to be published, after all files; see `find_record`.

        Raises:
            RenderCancelled: the lease was lost.
            Unavailable: the store has refused for `retry_seconds`.
        """
        path = folder / RECORD_FILE
        path.write_bytes(completed.to_bytes())
        self._put(path, RECORD_FILE, "application/json")

    def _put(self, path: Path, name: str, content_type: str) -> None:
        if self._deadline is None:
            self._deadline = time.monotonic() + self._retry_seconds
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        try:
            while not self._lost.is_set():
                try:
                    self._store.put(self.prefix + name, path, content_type)
                except Unavailable as problem:
                    pause = next(backoff)
                    if time.monotonic() + pause > self._deadline:
                        raise
                    self._wait(pause, problem.message)
                else:
                    if self.problem is not None:
                        log.warning("%s: the upload continues", self.prefix)
                    return
        finally:
            self.problem = None
        raise RenderCancelled

    def _wait(self, pause: float, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s is rendered, and waits for its upload: %s", self.prefix, problem)
            self.problem = problem
        self._lost.wait(pause)

    def delete(self) -> None:
        """Delete what was uploaded; what can't be deleted now is left to the sweeper."""
        self.previews.wait()
        try:
            self._store.delete_prefix(self.prefix)
        except KinoraError as problem:
            log.warning("files of %s were not deleted: %s", self.prefix, problem.message)

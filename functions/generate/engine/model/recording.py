"""From chunks of frames to the files of a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from torch import Tensor

from functions.generate.engine.messages import RenderJob
from functions.generate.engine.model.media import Frame, Mp4Writer, Spritesheet, save_jpeg

VIDEO: Final = "video.mp4"


class Recording:
    """Writes the frames of a video, in order, to its files; created by `open_recording`.

    Attributes:
        video: the path of the video.
        thumbnail: the path of the middle frame, written by `save_images`.
        spritesheet: the path of the spritesheet, written by `save_images`.
    """

    def __init__(self, job: RenderJob, mp4: Mp4Writer) -> None:
        request = job.request
        self.video = job.folder / VIDEO
        self.thumbnail = job.folder / "thumbnail.jpg"
        self.spritesheet = job.folder / "spritesheet.jpg"
        self._total = request.num_frames
        self._mp4 = mp4
        self._sheet = Spritesheet(frames=self._total, width=request.width, height=request.height)
        self._middle: Frame | None = None
        self._added = 0

    def add_chunks(self, chunks: Iterable[Tensor], on_frame: Callable[[int], None]) -> None:
        """Encode all frames of `chunks` (frames x height x width x 3 bytes, on any device).

        While a chunk is encoded here, the device may already compute the next one.

        Args:
            chunks: as `StreamingDecoder.decode` yields them.
            on_frame: called after each frame with the number of frames encoded so far.
        """
        previous: Tensor | None = None
        for chunk in chunks:
            self._add_chunk(previous, on_frame)
            previous = chunk.cpu()  # waits for the device
        self._add_chunk(previous, on_frame)

    def save_images(self) -> None:
        """Write the thumbnail (the middle frame) and the spritesheet."""
        if self._middle is not None:
            save_jpeg(self.thumbnail, self._middle)
        self._sheet.save(self.spritesheet)

    def _add_chunk(self, chunk: Tensor | None, on_frame: Callable[[int], None]) -> None:
        if chunk is None:
            return
        for picture in chunk:
            frame: Frame = picture.contiguous().numpy()
            self._mp4.add_frame(frame)
            self._sheet.add_frame(self._added, frame)
            if self._added == self._total // 2:
                self._middle = frame
            self._added += 1
            on_frame(self._added)


@contextmanager
def open_recording(job: RenderJob, model_revision: str) -> Iterator[Recording]:
    """Open a video file in the job's folder, which is created if it does not exist.

    The file is completed at the end of the block, or removed if the block raises an exception.
    """
    request = job.request
    job.folder.mkdir(parents=True, exist_ok=True)
    with Mp4Writer(
        job.folder / VIDEO,
        width=request.width,
        height=request.height,
        fps=request.fps,
        tags=_tags(job, model_revision),
    ) as mp4:
        yield Recording(job, mp4)


def _tags(job: RenderJob, model_revision: str) -> dict[str, str]:
    """The file's metadata: the prompt for people; for programs, how to render the video again."""
    settings = job.request.model_dump(exclude={"metadata", "fps"}) | {
        "model_revision": model_revision,
        "video_id": job.video_id,
    }
    return {"title": job.request.prompt, "comment": json.dumps(settings, ensure_ascii=False)}

"""From chunks of frames to the files of a video."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from torch import Tensor

from functions.generate.engine.messages import Order
from functions.generate.engine.model.media import Frame, Mp4Writer, Spritesheet, save_jpeg

VIDEO: Final = "video.mp4"


class Recording:
    """Takes the frames of a video one after the other; made by `recorded`.

    Attributes:
        video: where the video is.
        thumbnail: where `save_pictures` puts the middle frame.
        spritesheet: where it puts the spritesheet.
    """

    def __init__(self, order: Order, mp4: Mp4Writer) -> None:
        request = order.request
        self.video = order.folder / VIDEO
        self.thumbnail = order.folder / "thumbnail.jpg"
        self.spritesheet = order.folder / "spritesheet.jpg"
        self._total = request.num_frames
        self._mp4 = mp4
        self._sheet = Spritesheet(frames=self._total, width=request.width, height=request.height)
        self._middle: Frame | None = None
        self._taken = 0

    def take(self, chunks: Iterable[Tensor], report: Callable[[int], None]) -> None:
        """Encode all frames of `chunks` (frames x height x width x 3 bytes, on any device).

        While a chunk is encoded here, the device may already compute the next.

        Args:
            chunks: as `StreamingDecoder.decode` yields them.
            report: told how many frames are encoded, after each.
        """
        previous: Tensor | None = None
        for chunk in chunks:
            self._add(previous, report)
            previous = chunk.cpu()  # waits for the device
        self._add(previous, report)

    def save_pictures(self) -> None:
        """Write the thumbnail (the middle frame) and the spritesheet."""
        if self._middle is not None:
            save_jpeg(self.thumbnail, self._middle)
        self._sheet.save(self.spritesheet)

    def _add(self, chunk: Tensor | None, report: Callable[[int], None]) -> None:
        if chunk is None:
            return
        for picture in chunk:
            frame: Frame = picture.contiguous().numpy()
            self._mp4.add(frame)
            self._sheet.add(self._taken, frame)
            if self._taken == self._total // 2:
                self._middle = frame
            self._taken += 1
            report(self._taken)


@contextmanager
def recorded(order: Order, revision: str) -> Iterator[Recording]:
    """A video file in the order's folder, which is made if it does not exist.

    At the end of the block it is finished; left by an exception, it is removed.
    """
    request = order.request
    order.folder.mkdir(parents=True, exist_ok=True)
    with Mp4Writer(
        order.folder / VIDEO,
        width=request.width,
        height=request.height,
        fps=request.fps,
        tags=_tags(order, revision),
    ) as mp4:
        yield Recording(order, mp4)


def _tags(order: Order, revision: str) -> dict[str, str]:
    """The file's metadata: the prompt for people, and how to make the video again for programs."""
    request = order.request
    made_by = request.model_dump(exclude={"metadata", "fps"}) | {
        "model_revision": revision,
        "video_id": order.video_id,
    }
    return {"title": request.prompt, "comment": json.dumps(made_by, ensure_ascii=False)}

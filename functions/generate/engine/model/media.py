"""From frames to files: H.264 video, thumbnail, and spritesheet.

A frame is an array of height x width x 3 bytes, RGB.
"""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]

CRF: Final = "18"  # constant rate factor, with hardly visible losses
JPEG_QUALITY: Final = 90
# Without x264's macroblock tree. With it, the same frames gave different bytes in 85 of 1,067
# encodings on a busy machine (with one thread too); without it, in none of 2,656. Files are 2 %
# larger.
X264_OPTIONS: Final = {"crf": CRF, "mbtree": "0"}


class Mp4Writer:
    """Encodes frames to an H.264 file one at a time; a context manager.

    The file is yuv420p, tagged as BT.709 with limited range, and starts with its index (`moov`), so
    a browser can play it while it downloads. The same frames give the same file. If the block
    raises an exception, the file is removed.

    Args:
        path: the file to write.
        width: of each frame, even.
        height: of each frame, even.
        fps: frames per second.
        tags: metadata, by mp4's names, such as `title` and `comment`.
    """

    def __init__(
        self, path: Path, *, width: int, height: int, fps: int, tags: dict[str, str]
    ) -> None:
        self._path = path
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        # ffmpeg takes C strings, which a NUL would end.
        tags = {
            name: text.replace("\0", "\N{REPLACEMENT CHARACTER}") for name, text in tags.items()
        }
        self._container.metadata.update(tags)
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps))
        self._stream.width, self._stream.height = width, height
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = dict(X264_OPTIONS)
        context = self._stream.codec_context
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.colorspace = Colorspace.ITU709
        context.color_range = ColorRange.MPEG

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
            if kind is not None:
                self._path.unlink(missing_ok=True)

    def add_frame(self, frame: Frame) -> None:
        """Encode the next frame."""
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        self._container.mux(self._stream.encode(picture))


class Spritesheet:
    """Frames of the whole video in a grid of four columns, to preview it without downloading it.

    Up to 16 frames, evenly spaced from the first to the last, row by row from the top left, each at
    most 320 pixels wide. Unused cells in the last row are black.

    Args:
        frames: the number of frames in the video.
        width: of a frame, in pixels.
        height: of a frame, in pixels.
    """

    COLUMNS: Final = 4
    CELLS: Final = 16
    MAX_CELL_WIDTH: Final = 320

    def __init__(self, *, frames: int, width: int, height: int) -> None:
        cells = min(self.CELLS, frames)
        last = max(cells - 1, 1)
        self._cells = {(frames - 1) * cell // last: cell for cell in range(cells)}
        scale = min(1.0, self.MAX_CELL_WIDTH / width)
        self._cell = (round(width * scale), max(round(height * scale), 1))
        rows = -(-cells // self.COLUMNS)
        self._sheet = Image.new("RGB", (self._cell[0] * self.COLUMNS, self._cell[1] * rows))

    def add_frame(self, index: int, frame: Frame) -> None:
        """Add frame number `index` (from 0) if it is one of those shown."""
        cell = self._cells.get(index)
        if cell is not None:
            row, column = divmod(cell, self.COLUMNS)
            picture = Image.fromarray(frame).resize(self._cell, Image.Resampling.LANCZOS)
            self._sheet.paste(picture, (column * self._cell[0], row * self._cell[1]))

    def save(self, path: Path) -> None:
        """Write the sheet as JPEG."""
        self._sheet.save(path, "JPEG", quality=JPEG_QUALITY)


def save_jpeg(path: Path, frame: Frame) -> None:
    """Write one frame as JPEG, in its original size."""
    path.write_bytes(encode_jpeg(frame))


def encode_jpeg(frame: Frame) -> bytes:
    """One frame as JPEG, in its original size."""
    encoded = BytesIO()
    Image.fromarray(frame).save(encoded, "JPEG", quality=JPEG_QUALITY)
    return encoded.getvalue()

"""Frames become files: video, spritesheet, thumbnail."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from functions.generate.engine.model.media import Frame, Mp4Writer, Spritesheet


def plain(width: int, height: int, colour: tuple[int, int, int]) -> Frame:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def rgb(picture: Image.Image, x: float, y: float) -> tuple[int, ...]:
    pixel = picture.convert("RGB").getpixel((int(x), int(y)))
    assert isinstance(pixel, tuple)
    return tuple(int(value) for value in pixel)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (30, 60, 200), (255, 255, 255)])
def test_colours_survive(tmp_path: Path, colour: tuple[int, int, int]) -> None:
    """A player that honours the BT.709 tags shows the original colours."""
    path = tmp_path / "a.mp4"
    with Mp4Writer(path, width=32, height=32, fps=5, tags={}) as mp4:
        for _ in range(3):
            mp4.add_frame(plain(32, 32, colour))
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 3
    assert np.abs(frames[1].astype(int) - colour).max() <= 4  # rounding of 8-bit yuv


def test_equal_frames_make_equal_files(tmp_path: Path) -> None:
    """Encoding is deterministic, so the same seed gives the same file."""
    noise = np.random.default_rng(0).integers(0, 256, (13, 64, 96, 3), dtype=np.uint8)
    files = set()
    for _ in range(20):
        with Mp4Writer(tmp_path / "a.mp4", width=96, height=64, fps=12, tags={}) as mp4:
            for frame in noise:
                mp4.add_frame(frame)
        files.add((tmp_path / "a.mp4").read_bytes())
    assert len(files) == 1


def test_an_exception_leaves_no_file(tmp_path: Path) -> None:
    """An unfinished video is removed."""
    path = tmp_path / "a.mp4"
    mp4 = Mp4Writer(path, width=32, height=32, fps=5, tags={})
    with contextlib.suppress(KeyError), mp4:
        mp4.add_frame(plain(32, 32, (1, 2, 3)))
        raise KeyError
    assert not path.exists()


@pytest.mark.parametrize(
    ("frames", "cells", "rows"), [(7, 7, 2), (16, 16, 4), (25, 16, 4), (163, 16, 4), (1, 1, 1)]
)
def test_a_spritesheet_spans_the_video(tmp_path: Path, frames: int, cells: int, rows: int) -> None:
    """Four columns, up to 16 cells in order, the first frame first and the last one last."""
    sheet = Spritesheet(frames=frames, width=32, height=16)
    for index in range(frames):
        sheet.add_frame(index, plain(32, 16, (index + 60, 0, 0)))
    sheet.save(tmp_path / "s.jpg")
    with Image.open(tmp_path / "s.jpg") as picture:
        assert picture.size == (4 * 32, rows * 16)
        reds = [rgb(picture, cell % 4 * 32 + 16, cell // 4 * 16 + 8)[0] for cell in range(cells)]
    assert abs(reds[0] - 60) <= 3
    assert abs(reds[-1] - (frames + 59)) <= 3
    assert all(after >= before for before, after in itertools.pairwise(reds))


def test_large_frames_are_scaled_down(tmp_path: Path) -> None:
    """A sheet for Mochi's default size is at most 1280 pixels wide, with the aspect ratio kept."""
    sheet = Spritesheet(frames=16, width=848, height=480)
    sheet.save(tmp_path / "s.jpg")
    with Image.open(tmp_path / "s.jpg") as picture:
        assert picture.size == (1280, 4 * 181)

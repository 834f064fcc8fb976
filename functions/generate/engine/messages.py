"""What the HTTP process and the engine's child say to each other; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from functions.shared.errors import AttemptFailed
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest


@dataclass(frozen=True)
class Progress:
    """`done` of `total` parts of `stage` are finished (on the device, not only queued there).

    Each stage begins with a `done` of 0, never falls back, and ends with `done == total`.
    """

    stage: Stage
    done: int
    total: int


@dataclass(frozen=True)
class EngineReport:
    """What a video was made with, and what it took.

    Attributes:
        device: the GPU's name, or `CPU`.
        ranks: how many processes worked on it, each with a device of its own on GPUs.
        precision: what the model computed in, as torch names it.
        attention: the kernel: `cudnn`, `flash`, or `torch` for torch's own choice.
        compiled: whether the transformer was compiled.
        peak_memory: by stage, the most bytes in use on the first rank: on a GPU what was allocated
            there, on a CPU what the process had in RAM.
    """

    device: str
    ranks: int
    precision: str
    attention: str
    compiled: bool
    peak_memory: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """A finished video.

    Attributes:
        video: H.264 in mp4, `frames` frames of `width` x `height` pixels.
        thumbnail: the middle frame, JPEG.
        spritesheet: frames of the whole video in a grid, JPEG; see `media.Spritesheet`.
        width: in pixels.
        height: in pixels.
        frames: how many there are.
        timings: seconds by stage, the names being those of `Stage`.
        model_revision: which weights made it; see `checkpoint.Checkpoint.revision`.
        engine: what it was made with.
    """

    video: Path
    thumbnail: Path
    spritesheet: Path
    width: int
    height: int
    frames: int
    timings: dict[str, float]
    model_revision: str
    engine: EngineReport


@dataclass(frozen=True)
class Shape:
    """The size of a video, in pixels and frames."""

    width: int
    height: int
    frames: int

    @classmethod
    def parse_all(cls, text: str | None) -> tuple[Self, ...]:
        """Read `WIDTHxHEIGHTxFRAMES`, several with commas, as the setting checks them."""
        return tuple(cls(*map(int, one.split("x"))) for one in text.split(",")) if text else ()


@dataclass(frozen=True)
class Plan:
    """What every process of an engine is started with.

    Attributes:
        model: a folder or a hub id.
        ranks: how many processes there are: 1 or 2.
        compiled: whether to compile the transformer; None for what suits the device.
        warm_up: what to render once before the first order, besides the smallest video.
        needs_gpu: whether the model is of no use on a CPU.
    """

    model: str
    ranks: int
    compiled: bool | None
    warm_up: tuple[Shape, ...]
    needs_gpu: bool = False


@dataclass(frozen=True)
class Order:
    """Parent to every rank: render `request`; the first rank puts the files into `folder`."""

    request: ResolvedRequest
    video_id: str
    folder: Path


@dataclass(frozen=True)
class Verdict:
    """Parent to first rank, the answer to each `Progress`: whether to go on."""

    go_on: bool


@dataclass(frozen=True)
class Loaded:
    """Rank to parent: the model is loaded and has rendered once."""

    model_revision: str


@dataclass(frozen=True)
class NotLoaded:
    """Rank to parent, its last word: one line that says why the model can't be loaded."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """Rank to parent, from all but the first: its part of the order is done."""


@dataclass(frozen=True)
class Failed:
    """Rank to parent: the order ended with this error; the rank can take another."""

    error: AttemptFailed

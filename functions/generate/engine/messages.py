"""What the HTTP process and the engine's child say to each other; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from functions.shared.errors import AttemptFailed
from functions.shared.requests import ResolvedRequest


class Stage(StrEnum):
    """The stages of a render, in the order in which they come."""

    ENCODING = "encoding"  # the text, by T5
    DENOISING = "denoising"  # steps of the transformer
    DECODING = "decoding"  # latents to frames, by the VAE
    SAVING = "saving"  # frames to files


@dataclass(frozen=True)
class Progress:
    """`done` of `total` parts of `stage` are finished (on the device, not only queued there).

    Each stage begins with a `done` of 0, never falls back, and ends with `done == total`.
    """

    stage: Stage
    done: int
    total: int


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
    """

    video: Path
    thumbnail: Path
    spritesheet: Path
    width: int
    height: int
    frames: int
    timings: dict[str, float]
    model_revision: str


@dataclass(frozen=True)
class Order:
    """Parent to child: render `request` into `folder`."""

    request: ResolvedRequest
    video_id: str
    folder: Path


@dataclass(frozen=True)
class Verdict:
    """Parent to child, the answer to each `Progress`: whether to go on."""

    go_on: bool


@dataclass(frozen=True)
class Loaded:
    """Child to parent: the model is loaded and has rendered once."""

    model_revision: str


@dataclass(frozen=True)
class NotLoaded:
    """Child to parent, its last word: one line that says why the model can't be loaded."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """Child to parent: the order ended with this error; the child can take another."""

    error: AttemptFailed

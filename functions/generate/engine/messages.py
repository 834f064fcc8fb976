"""The messages between the HTTP process and the ranks of its engine. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from functions.shared.errors import AttemptFailed
from functions.shared.video.profiles import FastMode, Quality, SigmaSchedule
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.warnings import Warnings


@dataclass(frozen=True)
class Shape:
    """The size of a video, in pixels and frames."""

    width: int
    height: int
    frames: int

    @classmethod
    def parse_all(cls, text: str | None) -> tuple[Self, ...]:
        """Parse comma-separated `WIDTHxHEIGHTxFRAMES`, the format that the setting validates."""
        return tuple(cls(*map(int, one.split("x"))) for one in text.split(",")) if text else ()


@dataclass(frozen=True)
class PreviewLimits:
    """How often pictures of a video are made while it is denoised, at most.

    Attributes:
        seconds: between two of them; 0 for none at all.
        share: what all of them together may take of the time since the render began.
    """

    seconds: float = 0
    share: float = 0.01


@dataclass(frozen=True)
class EngineConfig:
    """What every rank of an engine is started with.

    Attributes:
        model: a folder or a hub id.
        ranks: the number of processes: 1 or 2.
        compiled: whether to compile the transformer; None to do so on GPUs only.
        warm_up: shapes to render once before the first job, besides the smallest video.
        needs_gpu: whether the model is too large to run on a CPU.
        sigmas: the model's schedule.
        fast: how videos of quality `fast` are rendered; None if the model has no such videos.
        loras: what to add to the weights, as the setting LORAS has it.
        compile_cache: a folder for what is compiled; None to keep it as torch does by default.
        previews: how often previews are made.
        attention: the attention kernel, as the setting ENGINE_ATTENTION has it; None for the
            fastest.
        decoder_format: the decoder's memory format, as the setting ENGINE_DECODER_FORMAT has it;
            None for the fastest on GPUs, and torch's usual one on CPUs.
    """

    model: str
    ranks: int
    compiled: bool | None
    warm_up: tuple[Shape, ...]
    needs_gpu: bool = False
    sigmas: SigmaSchedule = field(default_factory=SigmaSchedule)
    fast: FastMode | None = None
    loras: str | None = None
    compile_cache: str | None = None
    previews: PreviewLimits = field(default_factory=PreviewLimits)
    attention: str | None = None
    decoder_format: str | None = None


@dataclass(frozen=True)
class RenderJob:
    """Parent to every rank: render `request`. Rank 0 writes the files to `folder`.

    The ranks' log lines about it have `log_fields`.
    """

    request: ResolvedRequest
    video_id: str
    folder: Path
    log_fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Progress:
    """Rank 0 to parent: `done` of `total` parts of `stage` are finished.

    Finished on the device, not only queued there. In each stage, `done` starts at 0, never
    decreases, and reaches `total`.
    """

    stage: Stage
    done: int
    total: int
    # What the model can't use of the request: the same in each message of a job.
    warnings: Warnings = ()
    # What the video will look like, as a JPEG; only now and then.
    preview: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ProgressReply:
    """Parent to rank 0, the reply to each `Progress`: whether to continue or to cancel."""

    proceed: bool


@dataclass(frozen=True)
class ModelLoaded:
    """Rank to parent: the model is loaded and warmed up.

    Attributes:
        model_revision: see `Rendered`.
        report: how it renders, without what differs between videos.
        load_seconds: how long loading took, with the import of torch.
        warm_up_seconds: how long the warm-up took, with what it compiled.
        graphs_compiled: how many graphs were compiled, those from the cache not counted.
        graphs_cached: how many graphs came from the cache.
    """

    model_revision: str
    report: EngineReport | None = None
    load_seconds: float = 0.0
    warm_up_seconds: float = 0.0
    graphs_compiled: int = 0
    graphs_cached: int = 0


@dataclass(frozen=True)
class LoadFailed:
    """Rank to parent, before it exits: why the model can't be loaded, in one line."""

    reason: str


@dataclass(frozen=True)
class RankFinished:
    """Rank to parent, from every rank but rank 0: its part of the job is done."""


@dataclass(frozen=True)
class RenderFailed:
    """Rank to parent: the job failed with `error`; the rank can take another job."""

    error: AttemptFailed


@dataclass(frozen=True)
class EngineReport:
    """How a video was rendered.

    Attributes:
        device: the GPU's name, or `CPU`.
        ranks: the number of processes that rendered it, each with its own device on GPUs.
        precision: the data type of the model's computation, as torch names it.
        attention: the attention kernel; see `AttentionKernel`.
        compiled: whether the transformer was compiled.
        threads: the CPU threads of each process that rendered it.
        torch: torch's version.
        attention_ms: what one call of it took when the engine started, in milliseconds.
        attention_rejected: why other kernels were not chosen, by their names.
        decoder_format: the decoder's memory format; see `DecoderFormat`.
        decoder_ms: what decoding a sixth of a chunk took when the engine started, in milliseconds;
            None if it was not measured.
        decoder_rejected: why the other format was not chosen, by its name.
        quality: the quality of the request.
        steps_computed: how many steps were computed whole.
        steps_reused: how many steps reused what an earlier one had computed.
        peak_memory: peak memory in bytes, by stage, on rank 0: memory allocated on a GPU, or the
            process's resident memory on a CPU.
    """

    device: str
    ranks: int
    precision: str
    attention: str
    compiled: bool
    threads: int
    torch: str
    decoder_format: str
    attention_ms: float | None = None
    attention_rejected: dict[str, str] = field(default_factory=dict)
    decoder_ms: float | None = None
    decoder_rejected: dict[str, str] = field(default_factory=dict)
    quality: Quality = "exact"
    steps_computed: int = 0
    steps_reused: int = 0
    peak_memory: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rendered:
    """Rank 0 to parent: a finished video.

    Attributes:
        video: H.264 in mp4, `frames` frames of `width` x `height` pixels.
        thumbnail: the middle frame, JPEG.
        spritesheet: frames of the whole video in a grid, JPEG; see `media.Spritesheet`.
        width: in pixels.
        height: in pixels.
        frames: the number of frames.
        timings: seconds by stage, keyed by the values of `Stage`.
        model_revision: identifies the weights; see `checkpoint.Checkpoint.revision`.
        engine: how it was rendered.
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

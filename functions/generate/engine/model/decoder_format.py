"""Chooses the decoder's memory format when the engine starts: by its frames, then by its speed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

import torch
from torch import Tensor

from functions.generate.engine.messages import Shape
from functions.generate.engine.model.kernel_choice import MARGIN
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.streaming_decode import CHUNK_LATENT_FRAMES, StreamingDecoder

_log = logging.getLogger(__name__)

# Elsewhere the format is the usual one: on CPUs the other one gains nothing with the few channels
# of the demo model, and times there vary so much that each start could choose another one.
MEASURED_ON: Final = frozenset({"cuda"})
# The largest size, if no videos to warm up with are configured.
USUAL_SIZE: Final = {"cuda": Shape(848, 480, 7), "cpu": Shape(96, 64, 7)}
# Of half the rows and a third of the columns: all runs of both formats take as long as one chunk.
RUNS: Final = 3
# Of the frames' difference, relative to their contrast. With a full-size decoder of random weights
# it was 2 % in bf16 and 0.02 % in fp32, on a CPU; frames with nothing in common differ by 140 %.
TOLERANCES: Final = {torch.bfloat16: 0.1, torch.float16: 0.1, torch.float32: 0.01}


class DecoderFormat(StrEnum):
    """The memory formats that can be selected, as torch names them."""

    CONTIGUOUS = "contiguous_format"
    CHANNELS_LAST = "channels_last_3d"

    @property
    def of_torch(self) -> torch.memory_format:
        """What torch takes."""
        found: torch.memory_format = getattr(torch, self.value)
        return found


class UnusableFormat(Exception):
    """The memory format that is forced gives wrong frames here, or none."""


@dataclass(frozen=True)
class FormatChoice:
    """The memory format that all ranks use.

    Attributes:
        format: is in use in this process.
        milliseconds: of decoding a sixth of a chunk; None if it was not timed, as on CPUs, and on
            all ranks but the first.
        rejected: why the other format was not chosen, by its name.
    """

    format: DecoderFormat
    milliseconds: float | None = None
    rejected: dict[str, str] = field(default_factory=dict)


def choose_format(
    decoder: StreamingDecoder, latents: Tensor, ranks: Ranks, forced: DecoderFormat | None = None
) -> FormatChoice:
    """The first rank's choice, in use on each rank. All ranks call this together.

    Args:
        decoder: is changed to that format.
        latents: what to measure with; see `draw_latents`.
        ranks: the processes that render together.
        forced: the format to use whatever its speed.

    Raises:
        UnusableFormat: the format that is forced gives wrong frames here, or none.
        NotFinite: the usual format gives values that are not finite.
        PeerFailed: the first rank has raised one of these.
    """
    names = list(DecoderFormat)
    with torch.no_grad(), ranks.failing_together():
        choice = _choose(decoder, latents, forced) if ranks.rank == 0 else None
    shared = ranks.share_first(names.index(choice.format) if choice else 0)
    choice = choice or FormatChoice(names[shared])
    decoder.use_format(choice.format.of_torch)
    return choice


def draw_latents(vae: Any, sizes: Iterable[Shape], device: torch.device) -> Tensor:
    """A sixth of a chunk of the largest of `sizes`: random latents, always the same.

    Args:
        vae: the `AutoencoderKLMochi` that will decode them.
        sizes: of the videos to expect.
        device: where.
    """
    size = max(sizes, key=lambda one: one.width * one.height, default=USUAL_SIZE[device.type])
    ratio = vae.spatial_compression_ratio
    rows, columns = max(1, size.height // ratio // 2), max(1, size.width // ratio // 3)
    shape = (1, vae.config.latent_channels, CHUNK_LATENT_FRAMES, rows, columns)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)


def _choose(
    decoder: StreamingDecoder, latents: Tensor, forced: DecoderFormat | None
) -> FormatChoice:
    usual, other = DecoderFormat
    if forced is usual or (forced is None and latents.device.type not in MEASURED_ON):
        return FormatChoice(usual)
    expected, usual_ms = measure_format(decoder, latents, usual)
    try:
        frames, other_ms = measure_format(decoder, latents, other)
        problem = _find_problem(frames, expected, TOLERANCES[decoder.dtype])
    except Exception as error:  # noqa: BLE001 - whatever it raises, the format is of no use
        first = str(error).partition("\n")[0][:120]
        problem = f"failing: {type(error).__name__}: {first}"
    if forced is other:
        if problem is not None:
            raise UnusableFormat(f"ENGINE_DECODER_FORMAT is {other}, which is {problem} here")
        return FormatChoice(other, other_ms)
    if problem is None and other_ms >= usual_ms * (1 - MARGIN):
        problem = f"slower: {other_ms:.3g} ms"
    if problem is None:
        choice = FormatChoice(other, other_ms, {usual.value: f"slower: {usual_ms:.3g} ms"})
    else:
        choice = FormatChoice(usual, usual_ms, {other.value: problem})
    _log.info("memory format of the decoder: %s", choice)
    return choice


def _find_problem(frames: Tensor, expected: Tensor, tolerance: float) -> str | None:
    difference = float((frames - expected).norm() / (expected - expected.mean()).norm())
    if difference <= tolerance:  # false if it is not a number
        return None
    return f"wrong: its frames differ by {difference:.2g}"


def measure_format(
    decoder: StreamingDecoder, latents: Tensor, memory_format: DecoderFormat
) -> tuple[Tensor, float]:
    """The frames, and the milliseconds of the fastest run: the first one also makes plans."""
    decoder.use_format(memory_format.of_torch)
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        chunks = list(decoder.decode(latents))  # waits for the device
        times.append(time.perf_counter() - began)
    return torch.cat(chunks).float(), min(times) * 1e3

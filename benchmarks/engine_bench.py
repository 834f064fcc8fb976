"""The device of a run of `engine.py`, and how a time is measured on it."""

from __future__ import annotations

import gc
import math
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self

import diffusers
import torch
import transformers
from torch import Tensor

from benchmarks.engine_model import FULL, SMOKE, TEXT_TOKENS, Size, latent_frames
from benchmarks.supervised_parts import Emit

# Enough for a median; a step of a full-length video takes seconds.
REPEATS: Final = 3


@dataclass(frozen=True)
class Times:
    """How long a work took.

    Attributes:
        first: seconds of the first run, which compiles or plans.
        median: of the later runs, in seconds.
        result: what the last run returned.
    """

    first: float
    median: float
    result: Any


@dataclass(frozen=True)
class Bench:
    """The device, data type and model size to measure with."""

    size: Size
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def open(cls, *, smoke: bool) -> Self:
        """For the GPU if there is one, with the tiny model if `smoke`; without gradients."""
        torch.set_grad_enabled(mode=False)
        diffusers.utils.logging.set_verbosity_error()
        transformers.utils.logging.set_verbosity_error()
        warnings.filterwarnings("ignore", message="In CPU autocast")
        gpu = torch.cuda.is_available()
        return cls(
            SMOKE if smoke else FULL,
            torch.device("cuda" if gpu else "cpu"),
            torch.bfloat16 if gpu else torch.float32,
        )

    def time(self, work: Callable[[], object], repeats: int = REPEATS) -> Times:
        """How long `work` takes, the first time and `repeats` times after it."""
        seconds, result = [], None
        for _ in range(repeats + 1):
            self._finish()
            began = time.perf_counter()
            result = work()
            self._finish()
            seconds.append(time.perf_counter() - began)
        return Times(seconds[0], statistics.median(seconds[1:]), result)

    def _finish(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def free(self) -> None:
        """Release the memory of models that are no longer referenced."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def inputs(self, frames: int, branches: int) -> dict[str, Any]:
        """Arguments of the transformer, with `branches` in one batch as in the pipeline."""
        size = self.size
        text = size.transformer.get("text_embed_dim", 4096)
        mask = torch.arange(TEXT_TOKENS, device=self.device) < size.prompt
        return {
            "hidden_states": self.latents(frames, branches).to(self.dtype),
            "encoder_hidden_states": torch.randn(
                branches, TEXT_TOKENS, text, device=self.device, dtype=self.dtype
            ),
            "timestep": torch.full((branches,), 500.0, device=self.device),
            "encoder_attention_mask": mask.expand(branches, -1),
            "return_dict": False,
        }

    def tokens(self, frames: int) -> int:
        """The tokens of a video of `frames` frames and of the prompt."""
        size = self.size
        pictures = (size.height // 16) * (size.width // 16)
        return latent_frames(frames) * pictures + size.prompt

    def latents(self, frames: int, batch: int = 1) -> Tensor:
        """Random latents of a video of `frames` frames, fp32."""
        size = self.size
        shape = (batch, 12, latent_frames(frames), size.height // 8, size.width // 8)
        return torch.randn(shape, device=self.device)


def require_finite(result: Tensor) -> float:
    """The standard deviation of `result`.

    Raises:
        ValueError: it has values that are not finite, with which speeds mean nothing.
    """
    deviation = float(result.float().std())
    if not math.isfinite(deviation):  # as it is with a single value that is not
        raise ValueError("the result has values that are not finite")
    return deviation


def measure_peak(emit: Emit, *, smoke: bool) -> None:
    """FLOP/s of a large matrix product, the reference for all other speeds."""
    bench = Bench.open(smoke=smoke)
    side = 8192 if bench.device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=bench.device, dtype=bench.dtype) for _ in range(2))
    seconds = bench.time(lambda: a @ b, repeats=20).median
    emit(
        figure="matrix",
        tflops=2e-12 * side**3 / seconds,
        device=torch.cuda.get_device_name() if bench.device.type == "cuda" else "CPU",
        dtype=str(bench.dtype),
        torch=torch.__version__,
        diffusers=diffusers.__version__,
    )

"""The loaded model: text to embeddings, embeddings to latents, latents to frames.

The maths is that of Mochi's own code and of diffusers' `MochiPipeline`. The same request gives the
same frames on the same machine, with one rank and with two: the noise is drawn on the CPU from the
request's seed, and torch's number of threads is fixed for the life of the process (its default, the
number of cores, or `OMP_NUM_THREADS`). A different number of threads, device, or version of torch
sums in a different order, so the last bits differ.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from itertools import chain
from typing import Final

import torch
from torch import Tensor

from functions.generate.engine.messages import EngineReport, Shape
from functions.generate.engine.model.attention_kernels import AttentionKernel
from functions.generate.engine.model.attention_probe import Attention
from functions.generate.engine.model.checkpoint import Checkpoint
from functions.generate.engine.model.checksums import verify_checksums
from functions.generate.engine.model.compilation import compile_blocks
from functions.generate.engine.model.decoder_format import (
    DecoderFormat,
    choose_format,
    draw_latents,
)
from functions.generate.engine.model.denoising import OnStep, denoise, sigmas_of
from functions.generate.engine.model.guidance import GuidanceBranches
from functions.generate.engine.model.kernel_choice import choose_kernel
from functions.generate.engine.model.loading import load_components
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.step_reuse import StepCounts
from functions.generate.engine.model.streaming_decode import StreamingDecoder
from functions.generate.engine.model.text_encoder import EncodedPrompt, TextEncoder
from functions.shared.video.profiles import FastMode, SigmaSchedule
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.warnings import Warnings

_log = logging.getLogger(__name__)


class Mochi:
    """A checkpoint loaded on this rank's GPU if there are GPUs, else on the CPU.

    Args:
        checkpoint: what to load.
        ranks: the processes that render together, each with a `Mochi` of its own.
        sigmas: the model's schedule.
        fast: how videos of quality `fast` are rendered; None to render them like any other.
        compiled: whether to compile the transformer's blocks; None to do so on GPUs only, where
            the first videos make up for the minutes that it takes.
        dtype: the data type of the computation; None for bf16 on a GPU and fp32 on a CPU.
        attention: the value of the attention kernel to use; None for the fastest.
        decoder_format: the value of the decoder's memory format; None for the fastest on GPUs.
        sizes: of the videos to expect; what is timed is timed with the largest.

    Attributes:
        components: what was loaded.
        device: where it was loaded.
        ranks: as given.
        report: how videos are rendered, without what differs between them.
        sigmas: as given.
        revision: identifies the weights; see `Checkpoint.revision`.

    Raises:
        Exception: the checkpoint can't be loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        ranks: Ranks,
        sigmas: SigmaSchedule,
        *,
        fast: FastMode | None = None,
        compiled: bool | None = None,
        dtype: torch.dtype | None = None,
        attention: str | None = None,
        decoder_format: str | None = None,
        sizes: tuple[Shape, ...] = (),
    ) -> None:
        self.ranks: Final = ranks
        self.revision: Final = checkpoint.revision
        self.device: Final = _device_of(ranks.rank)
        on_gpu = self.device.type == "cuda"
        compiled = on_gpu if compiled is None else compiled
        dtype = dtype or (torch.bfloat16 if on_gpu else torch.float32)
        if ranks.rank == 0:  # the other ranks read the same files
            verify_checksums(checkpoint.folder, chain.from_iterable(checkpoint.weights.values()))
        components = load_components(checkpoint, self.device, dtype)
        self._text_encoder = TextEncoder(components.tokenizer, components.text_encoder)
        chosen = choose_kernel(
            Attention.of(components.transformer, sizes, self.device),
            ranks,
            AttentionKernel(attention) if attention else None,
        )
        self._branches = GuidanceBranches(components.transformer, chosen.kernel, ranks)
        if compiled:
            compile_blocks(components.transformer)
        self._decoder = StreamingDecoder(components.vae)
        layout = choose_format(
            self._decoder,
            draw_latents(components.vae, sizes, self.device),
            ranks,
            DecoderFormat(decoder_format) if decoder_format else None,
        )
        self.sigmas: Final = sigmas
        self._fast = fast
        self.components: Final = components
        self.report: Final = EngineReport(
            device=torch.cuda.get_device_name(self.device) if on_gpu else "CPU",
            ranks=ranks.size,
            precision=str(dtype).removeprefix("torch."),
            attention=chosen.kernel.value,
            attention_ms=chosen.milliseconds,
            attention_rejected=chosen.rejected,
            decoder_format=layout.format.value,
            decoder_ms=layout.milliseconds,
            decoder_rejected=layout.rejected,
            compiled=compiled,
            threads=torch.get_num_threads(),
            torch=torch.__version__,
        )
        _log.info("rank %d of the engine: %s", ranks.rank, self.report)

    def encode_text(self, request: ResolvedRequest) -> tuple[EncodedPrompt, ...]:
        """The request's prompts as `denoise` takes them; see `TextEncoder.encode`."""
        return self._text_encoder.encode(request)

    def find_warnings(self, request: ResolvedRequest) -> Warnings:
        """Which of the request's prompts `encode_text` truncates."""
        return self._text_encoder.find_truncated(request)

    def denoise(
        self,
        request: ResolvedRequest,
        prompts: tuple[EncodedPrompt, ...],
        on_step: OnStep = lambda *_: None,
        counts: StepCounts | None = None,
    ) -> Tensor:
        """Latents: 1 x 12 x latent frames x height/8 x width/8, normalized, fp32.

        All ranks call this at the same time, and all get the latents.

        Args:
            request: everything but its prompts is used.
            prompts: from `encode_text`.
            on_step: see `OnStep`.
            counts: if given, the steps are added to it.

        Raises:
            PeerFailed: another rank failed.
        """
        counts = counts or StepCounts()
        if request.quality == "fast" and self._fast is not None:
            predict = self._branches.reusing(self._fast, counts).predict
        else:
            predict = self._branches.predict
            counts.computed += request.num_inference_steps
        return denoise(
            lambda latents, timestep: predict(latents, timestep, prompts),
            self.draw_noise(request),
            sigmas_of(self.sigmas, request.num_inference_steps, self.device),
            request.guidance_scale,
            on_step,
        )

    def predict_text_of(self, request: ResolvedRequest, tokens: int) -> None:
        """Compute one step's prediction for a text of `tokens` tokens, on each rank by itself.

        Args:
            request: its size and length are used.
            tokens: up to `MAX_TOKENS`.
        """
        text, noise = self._text_encoder.placeholder(tokens), self.draw_noise(request)
        self._branches.predict(noise, torch.zeros((), device=self.device), [text])

    def draw_noise(self, request: ResolvedRequest) -> Tensor:
        """What denoising starts from, drawn on the CPU: it does not depend on the device."""
        vae = self.components.vae
        shape = (
            1,
            self.components.transformer.config.in_channels,
            (request.num_frames - 1) // vae.temporal_compression_ratio + 1,
            request.height // vae.spatial_compression_ratio,
            request.width // vae.spatial_compression_ratio,
        )
        generator = torch.Generator().manual_seed(request.seed)
        return torch.randn(shape, generator=generator, dtype=torch.float32).to(self.device)

    def decode(self, latents: Tensor) -> Generator[Tensor]:
        """Frames, in chunks; see `StreamingDecoder.decode`."""
        return self._decoder.decode(latents)

    def synchronize(self) -> None:
        """Wait until the device has finished the work queued on it."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _device_of(rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", rank)
    torch.cuda.set_device(device)
    return device

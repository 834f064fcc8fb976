"""From a request to files, with the maths of diffusers' `MochiPipeline`.

The same request makes the same frames on the same machine, with one process and with two: the noise
is drawn on the CPU from the request's seed, and torch keeps one number of threads for the life of
the process (its default, the number of cores, or `OMP_NUM_THREADS`). Another number of threads,
device or version of torch sums in another order, and differs in the last bits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from functions.generate.engine.messages import EngineReport, Order, Rendered
from functions.generate.engine.model.attention import choose_kernel
from functions.generate.engine.model.checkpoint import Checkpoint
from functions.generate.engine.model.compilation import compile_blocks
from functions.generate.engine.model.devices import DeviceLost
from functions.generate.engine.model.encoding import TextEncoder
from functions.generate.engine.model.guidance import GuidedTransformer
from functions.generate.engine.model.loading import load_pipeline
from functions.generate.engine.model.memory import PeakMemory, is_out_of_memory
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.saving import recorded
from functions.generate.engine.model.stages import StageMeter
from functions.generate.engine.model.streaming_decode import StreamingDecoder
from functions.shared.errors import OutOfMemory
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest

# Stage, parts done, parts in all. Raises RenderCancelled if the render is to end.
Report = Callable[[Stage, int, int], None]

_log = logging.getLogger(__name__)


class Renderer:
    """A loaded model: on the GPU of this process's rank if there are GPUs, else on the CPU.

    Args:
        checkpoint: what to load.
        ranks: the processes that work together, each with a renderer; rank 0 makes the files.
        compiled: whether to compile the transformer's blocks; None to do so on a GPU, where the
            minutes that it takes come back with the first videos.
        dtype: what to compute in; None for bf16 on a GPU, and fp32 on a CPU.

    Raises:
        Exception: the checkpoint can't be loaded.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        ranks: Ranks,
        *,
        compiled: bool | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model_revision = checkpoint.revision
        self._ranks = ranks
        self._device = torch.device("cpu")
        if torch.cuda.is_available():
            self._device = torch.device("cuda", ranks.rank)
            torch.cuda.set_device(self._device)
        on_gpu = self._device.type == "cuda"
        dtype = dtype or (torch.bfloat16 if on_gpu else torch.float32)
        kernel = choose_kernel(self._device, dtype)
        self._pipeline = load_pipeline(checkpoint, self._device, dtype)
        transformer = GuidedTransformer(self._pipeline.transformer, kernel, ranks)
        compiled = on_gpu if compiled is None else compiled
        if compiled:
            compile_blocks(transformer.inner)
        self._pipeline.transformer = transformer
        self._text = TextEncoder(self._pipeline)
        self._decoder = StreamingDecoder(self._pipeline.vae)
        self._report = EngineReport(
            device=torch.cuda.get_device_name(self._device) if on_gpu else "CPU",
            ranks=ranks.size,
            precision=str(dtype).removeprefix("torch."),
            attention=kernel.value,
            compiled=compiled,
        )
        _log.info("rank %d of the engine: %s", ranks.rank, self._report)

    def render(self, order: Order, report: Report) -> Rendered | None:
        """Make the video that `order` asks for. All ranks do this at the same time.

        Args:
            order: its folder is made if it does not exist.
            report: called at the beginning of each stage and after each finished part. What it
                raises while text or video is computed reaches every rank.

        Returns:
            The video on rank 0, and None on others, which are done when the latents are.

        Raises:
            RenderCancelled: from `report`, of any rank.
            OutOfMemory: it does not fit; the model is still usable.
            PeerFailed: another rank failed.
            DeviceLost: this process can make no video any more.
        """
        meter = StageMeter(PeakMemory(self._device))
        try:
            with torch.no_grad():
                with meter.measure(Stage.ENCODING):
                    text = self._encode(order.request, report)
                with meter.measure(Stage.DENOISING):
                    latents = self._denoise(order.request, text, report)
                return self._finish(order, latents, report, meter) if not self._ranks.rank else None
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                self._check_device(error)
                raise
            asked = f"{order.request.size} with {order.request.num_frames} frames"
        # Outside of the handler, where the traceback no longer keeps the tensors.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{asked} does not fit into the memory of this {self._device.type.upper()}. "
            "Ask for a smaller size or fewer frames."
        )

    def _check_device(self, error: Exception) -> None:
        """Raise `DeviceLost` if `error` is one that does not pass.

        After an illegal access or a fault of the GPU every call of CUDA fails until the process
        ends, and a connection of NCCL that has failed stays so.
        """
        if isinstance(error, dist.DistBackendError):
            raise DeviceLost from error
        try:
            self._finish_device()
        except RuntimeError as problem:
            raise DeviceLost from problem

    def _encode(self, request: ResolvedRequest, report: Report) -> dict[str, Tensor]:
        with self._ranks.together():
            report(Stage.ENCODING, 0, 1)
            text = self._text.encode(request)
            self._finish_device()
            report(Stage.ENCODING, 1, 1)
        return text

    def _denoise(self, request: ResolvedRequest, text: dict[str, Tensor], report: Report) -> Tensor:
        """Latents: 1 x 12 x latent frames x height/8 x width/8, normalized, fp32."""
        steps = request.num_inference_steps

        def step_done(_: Any, step: int, __: Any, state: dict[str, Any]) -> dict[str, Any]:
            with self._ranks.together():
                self._finish_device()
                report(Stage.DENOISING, step + 1, steps)
            return state

        with self._ranks.together():
            report(Stage.DENOISING, 0, steps)
        result = self._pipeline(
            **text,
            width=request.width,
            height=request.height,
            num_frames=request.num_frames,
            num_inference_steps=steps,
            guidance_scale=request.guidance_scale,
            generator=torch.Generator().manual_seed(request.seed),
            callback_on_step_end=step_done,
            output_type="latent",
        )
        latents: Tensor = result.frames
        return latents

    def _finish(self, order: Order, latents: Tensor, report: Report, meter: StageMeter) -> Rendered:
        """From latents to files. The frames are encoded while the rest is still being decoded."""
        request, frames = order.request, order.request.num_frames
        with ExitStack() as stack:
            with meter.measure(Stage.DECODING):
                recording = stack.enter_context(recorded(order, self.model_revision))
                report(Stage.DECODING, 0, frames)
                recording.take(
                    self._decoder.decode(latents),
                    lambda done: report(Stage.DECODING, done, frames),
                )
            with meter.measure(Stage.SAVING):
                report(Stage.SAVING, 0, 1)
                recording.save_pictures()
                stack.close()  # finishes the video
                report(Stage.SAVING, 1, 1)
        return Rendered(
            video=recording.video,
            thumbnail=recording.thumbnail,
            spritesheet=recording.spritesheet,
            width=request.width,
            height=request.height,
            frames=frames,
            timings=meter.seconds,
            model_revision=self.model_revision,
            engine=replace(self._report, peak_memory=meter.peak_bytes),
        )

    def _finish_device(self) -> None:
        """Wait until the device has done what was queued: only then it counts as progress."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

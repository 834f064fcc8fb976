"""From a job to the files of a video: runs the stages, reports progress, translates errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Final, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

from functions.generate.engine.messages import PreviewLimits, Rendered, RenderJob
from functions.generate.engine.model.finite import require_finite
from functions.generate.engine.model.gpu import DeviceLost
from functions.generate.engine.model.memory import PeakMemory, is_out_of_memory
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.previews import Previewer
from functions.generate.engine.model.recording import open_recording
from functions.generate.engine.model.stage_metrics import StageMetrics
from functions.generate.engine.model.step_reuse import StepCounts
from functions.generate.engine.model.text_encoder import EncodedPrompt
from functions.shared.errors import OutOfMemory
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.warnings import Warnings


class ReportProgress(Protocol):
    """Told how far a render is; raises RenderCancelled to cancel it."""

    def __call__(
        self, stage: Stage, done: int, total: int, preview: bytes | None = None, /
    ) -> None:
        """`done` of `total` parts of `stage` are finished; `preview` is a JPEG, now and then."""


class Renderer:
    """Renders one job after another with `model`, and makes previews within `limits`."""

    def __init__(self, model: Mochi, limits: PreviewLimits | None = None) -> None:
        self.model: Final = model
        self.previewer: Final = Previewer(model.decode, limits or PreviewLimits())

    @property
    def model_revision(self) -> str:
        """Identifies the weights; see `Checkpoint.revision`."""
        return self.model.revision

    def find_warnings(self, request: ResolvedRequest) -> Warnings:
        """What this model can't use of `request`."""
        return self.model.find_warnings(request)

    def render(self, job: RenderJob, report_progress: ReportProgress) -> Rendered | None:
        """Render the video. All ranks call this at the same time, with the same job.

        Args:
            job: its folder is created if it does not exist.
            report_progress: called at the start of each stage and after each finished part. What
                it raises during encoding or denoising reaches every rank.

        Returns:
            The video on rank 0; None on other ranks, which return when the latents are complete.

        Raises:
            RenderCancelled: from `report_progress`, on any rank.
            NotFinite: a stage's result was not finite, on every rank that has it.
            OutOfMemory: the video does not fit; the model is still usable.
            PeerFailed: another rank failed.
            DeviceLost: this process can't render any more.
        """
        metrics, steps = StageMetrics(PeakMemory(self.model.device)), StepCounts()
        try:
            with torch.no_grad():
                with metrics.measure(Stage.ENCODING):
                    prompts = self._encode_text(job.request, report_progress)
                with metrics.measure(Stage.DENOISING):
                    latents = self._denoise(job.request, prompts, report_progress, steps)
                if self.model.ranks.rank != 0:
                    return None
                return self._write_files(job, latents, report_progress, metrics, steps)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                self._check_device(error)
                raise
        # Outside the handler: inside it, the traceback would keep the tensors alive.
        if self.model.device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{job.request.size} with {job.request.num_frames} frames does not fit into the memory "
            f"of this {self.model.device.type.upper()}. Ask for a smaller size or fewer frames."
        )

    def _check_device(self, error: Exception) -> None:
        """Raise `DeviceLost` if `error` is permanent.

        After an illegal memory access or a hardware fault, every CUDA call fails until the process
        exits. A failed NCCL connection never recovers.
        """
        if isinstance(error, dist.DistBackendError):
            raise DeviceLost from error
        try:
            self.model.synchronize()
        except RuntimeError as lost:
            raise DeviceLost from lost

    def _encode_text(
        self, request: ResolvedRequest, report_progress: ReportProgress
    ) -> tuple[EncodedPrompt, ...]:
        with self.model.ranks.failing_together():
            report_progress(Stage.ENCODING, 0, 1)
            prompts = self.model.encode_text(request)
            require_finite(Stage.ENCODING, *(prompt.embeddings for prompt in prompts))
            report_progress(Stage.ENCODING, 1, 1)
        return prompts

    def _denoise(
        self,
        request: ResolvedRequest,
        prompts: tuple[EncodedPrompt, ...],
        report_progress: ReportProgress,
        counts: StepCounts,
    ) -> Tensor:
        ranks, steps = self.model.ranks, request.num_inference_steps

        previews = self.previewer.of_video()

        def report_step(done: int, estimate: Callable[[], Tensor]) -> None:
            with ranks.failing_together():
                self.model.synchronize()
                # One rank is enough. Any other would make the rest wait just as long.
                preview = previews.after_step(done, steps, estimate) if ranks.rank == 0 else None
                report_progress(Stage.DENOISING, done, steps, preview)

        with ranks.failing_together():
            report_progress(Stage.DENOISING, 0, steps)
        latents = self.model.denoise(request, prompts, report_step, counts)
        require_finite(Stage.DENOISING, latents)
        return latents

    def _write_files(
        self,
        job: RenderJob,
        latents: Tensor,
        report_progress: ReportProgress,
        metrics: StageMetrics,
        steps: StepCounts,
    ) -> Rendered:
        """Decode the latents and write the files, encoding frames while later ones are decoded."""
        request, frames = job.request, job.request.num_frames
        with ExitStack() as stack:
            with metrics.measure(Stage.DECODING):
                recording = stack.enter_context(open_recording(job, self.model.revision))
                report_progress(Stage.DECODING, 0, frames)
                recording.add_chunks(
                    self.model.decode(latents),
                    lambda done: report_progress(Stage.DECODING, done, frames),
                )
            self.previewer.costs.record_video(latents, metrics.seconds[Stage.DECODING])
            with metrics.measure(Stage.SAVING):
                report_progress(Stage.SAVING, 0, 1)
                recording.save_images()
                stack.close()  # completes the video file
                report_progress(Stage.SAVING, 1, 1)
        return Rendered(
            video=recording.video,
            thumbnail=recording.thumbnail,
            spritesheet=recording.spritesheet,
            width=request.width,
            height=request.height,
            frames=frames,
            timings=metrics.seconds,
            model_revision=self.model.revision,
            engine=replace(
                self.model.report,
                quality=request.quality,
                steps_computed=steps.computed,
                steps_reused=steps.reused,
                peak_memory=metrics.peak_bytes,
            ),
        )

"""From a request to files, with the maths of diffusers' `MochiPipeline`.

The same request makes the same frames on the same machine: the noise is drawn on the CPU from the
request's seed, and torch keeps one number of threads for the life of the process (its default, the
number of cores, or `OMP_NUM_THREADS`). Another number of threads, device or version of torch sums
in another order, and differs in the last bits.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from functions.generate.engine.checkpoint import Checkpoint
from functions.generate.engine.loading import load_pipeline
from functions.generate.engine.media import Frame, Mp4Writer, Spritesheet, save_jpeg
from functions.generate.engine.messages import Order, Rendered, Stage
from functions.shared.errors import OutOfMemory
from functions.shared.requests import ResolvedRequest

# Stage, parts done, parts in all. Raises RenderCancelled if the render is to end.
Report = Callable[[Stage, int, int], None]

# The least that Mochi can make: one patch of two by two latents of 8x8 pixels, two latent frames,
# and two steps, because its schedule can't be made of one.
SMALLEST: Final = ResolvedRequest(
    prompt="warm up",
    negative_prompt="",
    model="",
    width=16,
    height=16,
    num_frames=7,
    fps=1,
    num_inference_steps=2,
    guidance_scale=4.5,
    seed=0,
    metadata={},
)


class Renderer:
    """A loaded model, on a GPU if there is one, else on the CPU.

    Raises:
        Exception: diffusers or transformers can't load the checkpoint.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.model_revision = checkpoint.revision
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._pipeline = load_pipeline(checkpoint, self._device)

    def warm_up(self) -> None:
        """Render the smallest video, so that what is slow the first time, or broken, shows now."""
        with tempfile.TemporaryDirectory() as folder:
            self.render(Order(SMALLEST, "warm-up", Path(folder)), lambda *_: None)

    def render(self, order: Order, report: Report) -> Rendered:
        """Make the video that `order` asks for.

        Args:
            order: its folder is made if it does not exist.
            report: called at the beginning of each stage and after each finished part.

        Raises:
            RenderCancelled: from `report`.
            OutOfMemory: it does not fit; the model is still usable.
        """
        timings: dict[str, float] = {}
        try:
            with torch.no_grad():
                with self._timed(Stage.ENCODING, timings):
                    text = self._encode(order.request, report)
                with self._timed(Stage.DENOISING, timings):
                    latents = self._denoise(order.request, text, report)
                with self._timed(Stage.DECODING, timings):
                    video = self._decode(latents, report)
                with self._timed(Stage.SAVING, timings):
                    return self._save(order, video, report, timings)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            asked = f"{order.request.size} with {order.request.num_frames} frames"
        # Outside of the handler, where the traceback no longer keeps the tensors.
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(
            f"{asked} does not fit into the memory of this {self._device.type.upper()}. "
            "Ask for a smaller size or fewer frames."
        )

    def _encode(self, request: ResolvedRequest, report: Report) -> dict[str, Tensor]:
        """The text as the pipeline's arguments: embeddings and masks of one or two branches."""
        report(Stage.ENCODING, 0, 1)
        guided = request.guidance_scale > 1  # as the pipeline decides it
        names = ("prompt_embeds", "prompt_attention_mask")
        encoded = self._pipeline.encode_prompt(
            request.prompt,
            negative_prompt=request.negative_prompt,
            do_classifier_free_guidance=guided,
        )
        self._finish_device()
        report(Stage.ENCODING, 1, 1)
        text = dict(zip(names, encoded[:2], strict=True))
        if guided:
            text |= {f"negative_{n}": t for n, t in zip(names, encoded[2:], strict=True)}
        return text

    def _denoise(self, request: ResolvedRequest, text: dict[str, Tensor], report: Report) -> Tensor:
        """Latents: 1 x 12 x latent frames x height/8 x width/8, normalized."""
        steps = request.num_inference_steps

        def step_done(_: Any, step: int, __: Any, state: dict[str, Any]) -> dict[str, Any]:
            self._finish_device()
            report(Stage.DENOISING, step + 1, steps)
            return state

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

    def _decode(self, latents: Tensor, report: Report) -> Tensor:
        """Frames: frames x height x width x 3 bytes, RGB, on the device."""
        report(Stage.DECODING, 0, 1)
        vae = self._pipeline.vae
        # The pipeline's own formula, which it does not offer as a function.
        if vae.config.latents_mean is not None and vae.config.latents_std is not None:
            mean, std = (
                torch.tensor(values).view(1, -1, 1, 1, 1).to(latents.device, latents.dtype)
                for values in (vae.config.latents_mean, vae.config.latents_std)
            )
            latents = latents * std / vae.config.scaling_factor + mean
        else:
            latents = latents / vae.config.scaling_factor
        video = vae.decode(latents, return_dict=False)[0][0]  # 3 x frames x height x width
        pixels = ((video / 2 + 0.5).clamp(0, 1).float() * 255).round().to(torch.uint8)
        self._finish_device()
        report(Stage.DECODING, 1, 1)
        frames: Tensor = pixels.permute(1, 2, 3, 0)
        return frames

    def _save(
        self, order: Order, video: Tensor, report: Report, timings: dict[str, float]
    ) -> Rendered:
        frames, height, width, _ = video.shape
        order.folder.mkdir(parents=True, exist_ok=True)
        result = Rendered(
            video=order.folder / "video.mp4",
            thumbnail=order.folder / "thumbnail.jpg",
            spritesheet=order.folder / "spritesheet.jpg",
            width=width,
            height=height,
            frames=frames,
            timings=timings,  # to which the caller adds this stage
            model_revision=self.model_revision,
        )
        sheet = Spritesheet(frames=frames, width=width, height=height)
        tags = _tags(order, self.model_revision)
        report(Stage.SAVING, 0, frames)
        with Mp4Writer(
            result.video, width=width, height=height, fps=order.request.fps, tags=tags
        ) as mp4:
            for index, picture in enumerate(video):
                frame: Frame = picture.cpu().contiguous().numpy()
                mp4.add(frame)
                sheet.add(index, frame)
                if index == frames // 2:
                    save_jpeg(result.thumbnail, frame)
                report(Stage.SAVING, index + 1, frames)
        sheet.save(result.spritesheet)
        return result

    @contextmanager
    def _timed(self, stage: Stage, timings: dict[str, float]) -> Iterator[None]:
        began = time.perf_counter()
        yield
        timings[stage.value] = round(time.perf_counter() - began, 3)

    def _finish_device(self) -> None:
        """Wait until the device has done what was queued: only then it counts as progress."""
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _tags(order: Order, revision: str) -> dict[str, str]:
    """The file's metadata: the prompt for people, and how to make the video again for programs."""
    request = order.request
    made_by = request.model_dump(exclude={"metadata", "fps"}) | {
        "model_revision": revision,
        "video_id": order.video_id,
    }
    return {"title": request.prompt, "comment": json.dumps(made_by, ensure_ascii=False)}


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU torch raises a plain RuntimeError.
    return isinstance(
        error, MemoryError | torch.OutOfMemoryError
    ) or "can't allocate memory" in str(error)

"""Mochi's sampler: Euler steps along a schedule of sigmas, with classifier-free guidance, in fp32.

The same arithmetic, in the same order, as diffusers' `MochiPipeline` with its
`FlowMatchEulerDiscreteScheduler`. There, latents have the data type of the text embeddings. In
bf16, most steps would be too small to change a latent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from torch import Tensor

from functions.shared.video.profiles import SigmaSchedule

# Of training: a model's timestep is a sigma times this.
TRAINING_TIMESTEPS = 1000
# From latents and a timestep to the predictions of all branches: with the prompt and, with
# guidance, with the negative prompt.
Predict = Callable[[Tensor, Tensor], Sequence[Tensor]]
# Called after each step with the number of steps queued on the device so far, and with a function
# that returns the finished latents as far as they can be estimated then.
OnStep = Callable[[int, Callable[[], Tensor]], None]


def uses_guidance(guidance_scale: float) -> bool:
    """Whether a video has a branch with the negative prompt; at 1 it would cancel out."""
    return guidance_scale > 1


def sigmas_of(schedule: SigmaSchedule, steps: int, device: torch.device) -> Tensor:
    """The share of the clip before each of `steps` and after the last: from 0 to 1, fp32."""
    # diffusers counts the share of the noise, and rounds it to fp32 first.
    noise = linear_quadratic_schedule(steps, schedule.threshold_noise, schedule.linear_steps)
    return 1 - torch.tensor([*noise, 0], dtype=torch.float32, device=device)


def denoise(
    predict: Predict,
    noise: Tensor,
    sigmas: Tensor,
    guidance_scale: float,
    on_step: OnStep = lambda *_: None,
) -> Tensor:
    """Latents, in the shape of `noise`, both fp32.

    Args:
        predict: called once a step; its predictions may have any data type.
        noise: Gaussian.
        sigmas: one more than there are steps.
        guidance_scale: the weight of the prompt; used if there are two branches.
        on_step: changes nothing of the latents.
    """
    latents = noise
    for step, (sigma, following) in enumerate(pairwise(sigmas), 1):
        velocity, *negative = (
            prediction.float() for prediction in predict(latents, sigma * TRAINING_TIMESTEPS)
        )
        for other in negative:
            velocity = other + guidance_scale * (velocity - other)
        latents = latents + (following - sigma) * velocity
        on_step(step, partial(_estimate, latents, 1 - following, velocity))
    return latents


def _estimate(latents: Tensor, remaining: Tensor, velocity: Tensor) -> Tensor:
    """The clip at the end of a path that goes on straight: x0 of flow matching."""
    return latents + remaining * velocity

"""Model profiles: the limits and defaults of the deployed model.

Each model has one JSON file, the only source for validation in `submit` and `generate`, for the web
page's form, and for `GET /v1/models`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FOLDER: Final = Path(__file__).parent

# Mochi's VAE encodes the first frame alone, and then every six frames as one latent frame.
FRAMES_PER_LATENT: Final = 6

# `exact` computes every step; `fast` reuses steps that change little.
Quality = Literal["exact", "fast"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Frozen):
    """A range of integers, inclusive, and the default."""

    min: int
    max: int
    default: int
    multiple: int = 1


class RealSpan(_Frozen):
    """A range of real numbers, inclusive, and the default."""

    min: float
    max: float
    default: float


class SigmaSchedule(_Frozen):
    """How a model's denoising steps divide the way from noise to a clip.

    Attributes:
        threshold_noise: the share of the way that the first, equal steps cover.
        linear_steps: the number of these steps, after which steps grow; None for half of all.
    """

    threshold_noise: float = 0.025  # Mochi 1's own
    linear_steps: int | None = None

    @property
    def fewest_steps(self) -> int:
        """The number of steps that a video has at least."""
        return 1 + (1 if self.linear_steps is None else self.linear_steps)


class FastMode(_Frozen):
    """How videos of quality `fast` skip most of the transformer's blocks in some steps.

    Attributes:
        max_change: a step is computed whole if what the first block adds differs by this share, or
            by more, from what it added in the last step that was computed whole.
    """

    max_change: float = Field(gt=0, lt=1)


class Profile(_Frozen):
    """The limits and defaults of one model.

    Attributes:
        name: the model's name in the API.
        title: the model's name for people.
        demo: whether it is the demo model.
        model: the checkpoint that the profile describes.
        width: in pixels.
        height: in pixels.
        max_pixels: the largest product of width and height.
        sizes: suggestions, not limits.
        num_frames: must also be 6k+1.
        fps: frames per second.
        num_inference_steps: denoising steps.
        guidance_scale: weight of the prompt.
        sigmas: how the denoising steps divide the way from noise to a clip.
        fast: the model's quality `fast`; None if it has only `exact`.
        max_text_tokens: the text encoder's limit.
        example_prompts: suggestions for the web page.
    """

    name: str
    title: str
    demo: bool
    model: str
    width: Span
    height: Span
    max_pixels: int
    sizes: tuple[str, ...]
    num_frames: Span
    fps: Span
    num_inference_steps: Span
    guidance_scale: RealSpan
    sigmas: SigmaSchedule
    fast: FastMode | None = None
    max_text_tokens: int
    example_prompts: tuple[str, ...]

    @property
    def qualities(self) -> tuple[Quality, ...]:
        """The values of `quality` in a request, the default first."""
        return ("exact",) if self.fast is None else ("exact", "fast")

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        if self.num_inference_steps.min < self.sigmas.fewest_steps:
            raise ValueError(f"num_inference_steps.min is below {self.sigmas.fewest_steps}")
        return self


@cache
def load_profile(name: str) -> Profile:
    """Read the profile `name` ('demo', 'mochi-1').

    Raises:
        ValueError: there is no such profile; the message lists the existing ones.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in known:
        raise ValueError(f"MODEL_PROFILE is {name!r}; it must be one of {', '.join(known)}")
    return Profile.model_validate_json((FOLDER / f"{name}.json").read_bytes())

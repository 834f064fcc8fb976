"""Model profiles: what the deployed model can make.

One JSON file a model is the only source for `submit`'s validation, `generate`'s, the web page's
form and the answer of `GET /v1/models`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

FOLDER: Final = Path(__file__).parent

# Mochi's VAE packs six frames into one latent frame, after a first frame of its own.
FRAMES_PER_LATENT: Final = 6


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Span(_Frozen):
    """A range of whole numbers, both ends included, and the value used when none is given."""

    min: int
    max: int
    default: int
    multiple: int = 1


class RealSpan(_Frozen):
    """A range of real numbers, both ends included, and the value used when none is given."""

    min: float
    max: float
    default: float


class Profile(_Frozen):
    """The limits and defaults of one model.

    `max_pixels` bounds width times height; `sizes` are suggestions, not limits; `num_frames` is
    further limited to 6k+1; `model` is the checkpoint the profile was written for.
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
    max_text_tokens: int
    example_prompts: tuple[str, ...]


@cache
def load_profile(name: str) -> Profile:
    """Read the profile `name` ('demo', 'mochi-1').

    Raises:
        ValueError: there is no such profile; the message lists those that exist.
    """
    known = sorted(path.stem for path in FOLDER.glob("*.json"))
    if name not in known:
        raise ValueError(f"MODEL_PROFILE is {name!r}; it must be one of {', '.join(known)}")
    return Profile.model_validate_json((FOLDER / f"{name}.json").read_bytes())

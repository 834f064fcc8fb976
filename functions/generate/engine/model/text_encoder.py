"""From prompts to embeddings."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from functions.shared.video.requests import ResolvedRequest

# The pipeline's arguments, which start with `negative_` for the negative prompt.
_ARGUMENTS: Final = ("prompt_embeds", "prompt_attention_mask")


class TextEncoder:
    """Encodes prompts with the T5 of `pipeline`.

    Caches the empty negative prompt, which most videos have.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._empty_prompt: tuple[Tensor, Tensor] | None = None

    def encode(self, request: ResolvedRequest) -> dict[str, Tensor]:
        """The prompts as the pipeline's arguments: embeddings and masks of one or two branches.

        The embeddings are fp32 whatever T5 computes in, because the pipeline gives latents and
        timesteps the same type. In bf16, most steps would be too small to change a latent.
        """
        text = dict(zip(_ARGUMENTS, self._embed(request.prompt), strict=True))
        if request.guidance_scale > 1:  # the pipeline's own condition
            negative = self._embed_negative(request.negative_prompt)
            text |= {f"negative_{n}": t for n, t in zip(_ARGUMENTS, negative, strict=True)}
        return text

    def _embed_negative(self, prompt: str) -> tuple[Tensor, Tensor]:
        if prompt:
            return self._embed(prompt)
        if self._empty_prompt is None:
            self._empty_prompt = self._embed("")
        return self._empty_prompt

    def _embed(self, prompt: str) -> tuple[Tensor, Tensor]:
        embeddings, mask, _, _ = self._pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False
        )
        return embeddings.to(torch.float32), mask

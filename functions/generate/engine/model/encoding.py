"""From prompts to embeddings, each computed once."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from functions.shared.video.requests import ResolvedRequest

_NAMES: Final = ("prompt_embeds", "prompt_attention_mask")


class TextEncoder:
    """Encodes with the T5 of `pipeline`.

    Most videos have the empty negative prompt, so what that encodes to is kept.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._nothing: tuple[Tensor, Tensor] | None = None

    def encode(self, request: ResolvedRequest) -> dict[str, Tensor]:
        """The text as the pipeline's arguments: embeddings and masks of one or two branches.

        The embeddings are fp32 whatever T5 computes in: the pipeline makes latents and timesteps
        of their type. In bf16, most steps would be too small to change a latent.
        """
        text = dict(zip(_NAMES, self._embed(request.prompt), strict=True))
        if request.guidance_scale > 1:  # as the pipeline decides it
            negative = self._negative(request.negative_prompt)
            text |= {f"negative_{n}": t for n, t in zip(_NAMES, negative, strict=True)}
        return text

    def _negative(self, prompt: str) -> tuple[Tensor, Tensor]:
        if prompt:
            return self._embed(prompt)
        if self._nothing is None:
            self._nothing = self._embed("")
        return self._nothing

    def _embed(self, prompt: str) -> tuple[Tensor, Tensor]:
        embeddings, mask, _, _ = self._pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False
        )
        return embeddings.to(torch.float32), mask

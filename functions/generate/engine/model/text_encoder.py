"""From prompts to embeddings."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.warnings import VideoWarning, Warnings, truncated

# The pipeline's arguments, which start with `negative_` for the negative prompt.
_ARGUMENTS: Final = ("prompt_embeds", "prompt_attention_mask")
# Of one prompt, with the end mark: what Mochi 1 was trained with, and the pipeline's default.
MAX_TOKENS: Final = 256


class TextEncoder:
    """Encodes prompts with the T5 of `pipeline`.

    An empty prompt has no valid token, as in Mochi's own code and training, so T5 is not called.
    """

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        t5 = pipeline.text_encoder
        self._nothing = (
            torch.zeros(1, MAX_TOKENS, t5.config.d_model, device=t5.device),
            torch.zeros(1, MAX_TOKENS, dtype=torch.bool, device=t5.device),
        )

    def encode(self, request: ResolvedRequest) -> dict[str, Tensor]:
        """The prompts as the pipeline's arguments: embeddings and masks of one or two branches.

        The embeddings are fp32 whatever T5 computes in, because the pipeline gives latents and
        timesteps the same type. In bf16, most steps would be too small to change a latent.
        """
        text = dict(zip(_ARGUMENTS, self._embed(request.prompt), strict=True))
        if request.guidance_scale > 1:  # the pipeline's own condition
            negative = self._embed(request.negative_prompt)
            text |= {f"negative_{n}": t for n, t in zip(_ARGUMENTS, negative, strict=True)}
        return text

    def find_truncated(self, request: ResolvedRequest) -> Warnings:
        """A warning for each prompt of which `encode` uses only the first tokens."""
        prompts = {"prompt": request.prompt}
        if request.guidance_scale > 1:
            prompts["negative_prompt"] = request.negative_prompt
        found = (self._find_truncated(name, prompt) for name, prompt in prompts.items())
        return tuple(one for one in found if one is not None)

    def _find_truncated(self, name: str, prompt: str) -> VideoWarning | None:
        tokenizer = self._pipeline.tokenizer
        tokens = tokenizer(prompt, add_special_tokens=False).input_ids
        # The pipeline cuts at MAX_TOKENS, of which the end mark takes some.
        used = MAX_TOKENS - tokenizer.num_special_tokens_to_add()
        if len(tokens) <= used:
            return None
        text = tokenizer.decode(tokens[:used], skip_special_tokens=True)
        return truncated(name, len(tokens), used, text)

    def _embed(self, prompt: str) -> tuple[Tensor, Tensor]:
        if not prompt:
            return self._nothing
        embeddings, mask, _, _ = self._pipeline.encode_prompt(
            prompt, do_classifier_free_guidance=False, max_sequence_length=MAX_TOKENS
        )
        return embeddings.to(torch.float32), mask

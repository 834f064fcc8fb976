"""From prompts to embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from functions.generate.engine.model.denoising import uses_guidance
from functions.shared.video.requests import ResolvedRequest
from functions.shared.video.warnings import VideoWarning, Warnings, truncated

# Of one prompt, with the end mark: what Mochi 1 was trained with.
MAX_TOKENS: Final = 256


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as the transformer takes it.

    Attributes:
        embeddings: 1 x `MAX_TOKENS` x T5's width, padded at the end.
        mask: 1 x `MAX_TOKENS`, true for valid tokens.
    """

    embeddings: Tensor
    mask: Tensor


class TextEncoder:
    """Encodes prompts with a `T5EncoderModel` and its tokenizer.

    An empty prompt has no valid token, as in Mochi's own code and training, so T5 is not called.
    """

    def __init__(self, tokenizer: Any, t5: Any) -> None:
        self._tokenizer = tokenizer
        self._t5 = t5
        self._nothing = self.placeholder(0)

    def placeholder(self, tokens: int) -> EncodedPrompt:
        """A text of `tokens` tokens that say nothing."""
        t5 = self._t5
        return EncodedPrompt(
            torch.zeros(1, MAX_TOKENS, t5.config.d_model, device=t5.device, dtype=t5.dtype),
            (torch.arange(MAX_TOKENS, device=t5.device) < tokens)[None],
        )

    def encode(self, request: ResolvedRequest) -> tuple[EncodedPrompt, ...]:
        """The request's prompt and, with guidance, its negative prompt."""
        return tuple(self._encode(prompt) for prompt in _prompts(request).values())

    def find_truncated(self, request: ResolvedRequest) -> Warnings:
        """A warning for each prompt of which `encode` uses only the first tokens."""
        found = (self._find_truncated(name, prompt) for name, prompt in _prompts(request).items())
        return tuple(one for one in found if one is not None)

    def _find_truncated(self, name: str, prompt: str) -> VideoWarning | None:
        tokens = self._tokenizer(prompt, add_special_tokens=False).input_ids
        # The end mark takes some of MAX_TOKENS.
        used = MAX_TOKENS - self._tokenizer.num_special_tokens_to_add()
        if len(tokens) <= used:
            return None
        text = self._tokenizer.decode(tokens[:used], skip_special_tokens=True)
        return truncated(name, len(tokens), used, text)

    def _encode(self, prompt: str) -> EncodedPrompt:
        if not prompt:
            return self._nothing
        tokens = self._tokenizer(
            prompt,
            padding="max_length",
            max_length=MAX_TOKENS,
            truncation=True,
            return_tensors="pt",
        ).to(self._t5.device)
        mask = tokens.attention_mask.bool()
        return EncodedPrompt(self._t5(tokens.input_ids, attention_mask=mask)[0], mask)


def _prompts(request: ResolvedRequest) -> dict[str, str]:
    """The prompts that the video depends on, by their fields of the request."""
    prompts = {"prompt": request.prompt}
    if uses_guidance(request.guidance_scale):
        prompts["negative_prompt"] = request.negative_prompt
    return prompts

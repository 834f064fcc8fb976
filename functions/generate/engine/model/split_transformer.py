"""Mochi's transformer, cut after its first block.

The arithmetic, and its order, are those of `MochiTransformer3DModel.forward` of diffusers, which
runs all blocks in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from functions.generate.engine.model.text_encoder import EncodedPrompt


@dataclass(frozen=True)
class AfterFirstBlock:
    """A branch of a step, computed up to the first block.

    Attributes:
        video: 1 x tokens x width.
        added: what the first block added to the video, in its shape.
        text: the text after the first block.
        conditioning: of all blocks.
        mask: which text tokens are valid.
    """

    video: Tensor
    added: Tensor
    text: Tensor
    conditioning: Tensor
    mask: Tensor


class SplitTransformer:
    """Calls the parts of `transformer`, with dense attention, for one video."""

    def __init__(self, transformer: Any) -> None:
        self._transformer = transformer
        self._rotary: tuple[Tensor, Tensor] | None = None  # the same in all steps of a video

    def begin(self, latents: Tensor, timestep: Tensor, prompt: EncodedPrompt) -> AfterFirstBlock:
        """The branch of `prompt` up to the first block; takes what `GuidanceBranches` takes."""
        model = self._transformer
        inputs = latents.to(model.dtype)
        conditioning, text = model.time_embed(
            timestep.expand(1),
            prompt.embeddings.to(model.dtype),
            prompt.mask,
            hidden_dtype=inputs.dtype,
        )
        pictures = model.patch_embed(inputs.permute(0, 2, 1, 3, 4).flatten(0, 1))
        video = pictures.unflatten(0, (1, -1)).flatten(1, 2)
        if self._rotary is None:
            patch, (frames, height, width) = model.config.patch_size, inputs.shape[2:]
            self._rotary = model.rope(
                model.pos_frequencies,
                frames,
                height // patch,
                width // patch,
                device=inputs.device,
                dtype=torch.float32,
            )
        after, text = self._run(0, video, text, conditioning, prompt.mask)
        return AfterFirstBlock(after, after - video, text, conditioning, prompt.mask)

    def run_other_blocks(self, begun: AfterFirstBlock) -> Tensor:
        """The video after the last block."""
        video, text = begun.video, begun.text
        for block in range(1, len(self._transformer.transformer_blocks)):
            video, text = self._run(block, video, text, begun.conditioning, begun.mask)
        return video

    def finish(self, video: Tensor, begun: AfterFirstBlock, latents: Tensor) -> Tensor:
        """The prediction, in the shape of `latents`, from the video after the last block."""
        model, patch = self._transformer, self._transformer.config.patch_size
        frames, height, width = latents.shape[2:]
        patches = model.proj_out(model.norm_out(video, begun.conditioning))
        patches = patches.reshape(1, frames, height // patch, width // patch, patch, patch, -1)
        pictures = patches.permute(0, 6, 1, 2, 4, 3, 5)
        prediction: Tensor = pictures.reshape(1, -1, frames, height, width)
        return prediction

    def _run(
        self, block: int, video: Tensor, text: Tensor, conditioning: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        after: tuple[Tensor, Tensor] = self._transformer.transformer_blocks[block](
            hidden_states=video,
            encoder_hidden_states=text,
            temb=conditioning,
            encoder_attention_mask=mask,
            image_rotary_emb=self._rotary,
        )
        return after

"""Mochi's attention without padding, on a kernel of choice.

diffusers' own processor looks up the valid text tokens on every call (`torch.nonzero`: the host
waits for the device 48 times a step, and no compiled graph knows a shape), gathers them, pads the
result, and has no option for the kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from functions.generate.engine.model.attention_kernels import AttentionKernel, attend, install


class DenseAttention:
    """A processor for `MochiAttention`: one sample, all of whose text tokens are valid.

    Given text trimmed to its valid tokens, the result equals that of diffusers' processor for the
    padded text, bit for bit in bf16. It compiles into one graph.

    Args:
        kernel: is installed; RuntimeError is raised on inputs that it does not support.
    """

    def __init__(self, kernel: AttentionKernel) -> None:
        self._kernel = kernel

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor,  # noqa: ARG002 - the caller passes it; all tokens are valid
        image_rotary_emb: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Attend from video and text to both.

        Args:
            attn: the `MochiAttention` that holds the weights.
            hidden_states: the video, 1 x its tokens x width.
            encoder_hidden_states: the text, 1 x its tokens (may be 0) x its width.
            attention_mask: which text tokens are valid; ignored.
            image_rotary_emb: cosines and sines, video tokens x heads x half a head.

        Returns:
            What to add to the video and to the text, in their shapes.
        """
        query = attn.norm_q(_split_heads(attn, attn.to_q(hidden_states)))
        query = _apply_rotary(query, *image_rotary_emb)
        key = attn.norm_k(_split_heads(attn, attn.to_k(hidden_states)))
        key = _apply_rotary(key, *image_rotary_emb)
        value = _split_heads(attn, attn.to_v(hidden_states))
        text = encoder_hidden_states
        text_query = attn.norm_added_q(_split_heads(attn, attn.add_q_proj(text)))
        text_key = attn.norm_added_k(_split_heads(attn, attn.add_k_proj(text)))
        text_value = _split_heads(attn, attn.add_v_proj(text))
        attended = attend(
            self._kernel,
            torch.cat([query, text_query], 1).transpose(1, 2),
            torch.cat([key, text_key], 1).transpose(1, 2),
            torch.cat([value, text_value], 1).transpose(1, 2),
        )
        joined = attended.transpose(1, 2).flatten(2, 3)
        tokens = hidden_states.shape[1]
        video, text = joined[:, :tokens], joined[:, tokens:]
        # The last block discards its text, and has no projection for it.
        return attn.to_out[0](video), attn.to_add_out(text) if hasattr(attn, "to_add_out") else text


class TrimmedTextEmbedding(nn.Module):
    """Replaces a transformer's `time_embed`, and returns the text without its padding.

    The text is embedded and pooled with padding and mask, which keeps the result bit-identical.

    Args:
        embed: a `MochiCombinedTimestepCaptionEmbedding`.
    """

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(
        self,
        timestep: Tensor,
        encoder_hidden_states: Tensor,
        encoder_attention_mask: Tensor,
        hidden_dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """The conditioning, and the embedded text: 1 x valid tokens x width."""
        conditioning, text = self.embed(
            timestep, encoder_hidden_states, encoder_attention_mask, hidden_dtype=hidden_dtype
        )
        # A copy with strides like those of the blocks' results: others would make torch compile a
        # separate graph for the first block.
        valid = text[:, : int(encoder_attention_mask.sum())]
        return conditioning, valid.clone(memory_format=torch.contiguous_format)


def use_dense_attention(transformer: Any, kernel: AttentionKernel) -> None:
    """Change a `MochiTransformer3DModel` to attend without padding, for one sample per call.

    Raises:
        KernelAbsent: `kernel` is not installed here.
    """
    install(kernel)
    transformer.time_embed = TrimmedTextEmbedding(transformer.time_embed)
    for block in transformer.transformer_blocks:
        block.attn1.processor = DenseAttention(kernel)


def _split_heads(attn: Any, projected: Tensor) -> Tensor:
    heads: Tensor = projected.unflatten(2, (attn.heads, -1))  # type: ignore[no-untyped-call]  # torch's types lack it
    return heads


def _apply_rotary(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, in fp32 as in diffusers."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    real, imaginary = (even * cos - odd * sin).to(x.dtype), (even * sin + odd * cos).to(x.dtype)
    rotated: Tensor = torch.stack([real, imaginary], dim=-1).flatten(-2)
    return rotated

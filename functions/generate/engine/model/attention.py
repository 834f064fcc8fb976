"""Mochi's attention without padding, on the fastest kernel for the device.

diffusers' own processor looks up the valid text tokens on every call (`torch.nonzero`: the host
waits for the device 48 times a step, and no compiled graph knows a shape), gathers them, pads the
result, and has no option for the kernel.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


class AttentionKernel(StrEnum):
    """The kernels that can be selected; a completed video reports their values."""

    CUDNN = "cudnn"
    FLASH = "flash"
    TORCH = "torch"  # torch's own choice


_BACKENDS: Final = {
    AttentionKernel.CUDNN: SDPBackend.CUDNN_ATTENTION,
    AttentionKernel.FLASH: SDPBackend.FLASH_ATTENTION,
}
# Since this compute capability (Hopper), cuDNN has kernels of its own, and torch prefers them too
# (since 2.11). Published figures for an H100 at Mochi's head sizes: 631 TFLOP/s, FlashAttention 2
# 329. Naming the kernel makes it a part of what a video reports, and an error where it is missing.
_CUDNN_IS_FASTER_SINCE: Final = (9, 0)
# Shapes of an even and an odd sequence with Mochi's heads and head size. A kernel that can't run
# them, in the memory layout of a transformer block, is not used.
_PROBE_SHAPES: Final = ((1, 64, 24, 128), (1, 1023, 24, 128))


def select_attention_kernel(device: torch.device, dtype: torch.dtype) -> AttentionKernel:
    """The fastest kernel that works with `dtype` on `device`.

    On a CPU this is torch's own choice: there is one kernel for each data type.
    """
    if device.type != "cuda":
        return AttentionKernel.TORCH
    candidates = [AttentionKernel.CUDNN, AttentionKernel.FLASH]
    if torch.cuda.get_device_capability(device) < _CUDNN_IS_FASTER_SINCE:
        candidates.reverse()
    usable = (kernel for kernel in candidates if kernel_works(kernel, device, dtype))
    return next(usable, AttentionKernel.TORCH)


def kernel_works(kernel: AttentionKernel, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `kernel` runs here at all: the build of torch or the driver may lack it."""
    try:
        for shape in _PROBE_SHAPES:
            probe = torch.zeros(shape, device=device, dtype=dtype).transpose(1, 2)
            DenseAttention(kernel).attend(probe, probe, probe)
    except RuntimeError:
        return False
    return True


class DenseAttention:
    """A processor for `MochiAttention`: one sample, all of whose text tokens are valid.

    Given text trimmed to its valid tokens, the result equals that of diffusers' processor for the
    padded text, bit for bit in bf16. It compiles into one graph.

    Args:
        kernel: the kernel to use; RuntimeError is raised on inputs that it does not support.
    """

    def __init__(self, kernel: AttentionKernel) -> None:
        self._backend = _BACKENDS.get(kernel)

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
        attended = self.attend(
            torch.cat([query, text_query], 1).transpose(1, 2),
            torch.cat([key, text_key], 1).transpose(1, 2),
            torch.cat([value, text_value], 1).transpose(1, 2),
        )
        joined = attended.transpose(1, 2).flatten(2, 3)
        tokens = hidden_states.shape[1]
        video, text = joined[:, :tokens], joined[:, tokens:]
        # The last block discards its text, and has no projection for it.
        return attn.to_out[0](video), attn.to_add_out(text) if hasattr(attn, "to_add_out") else text

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Scaled dot-product attention; each tensor is 1 x heads x tokens x head size."""
        if self._backend is None:
            return scaled_dot_product_attention(query, key, value)
        with sdpa_kernel(self._backend):
            return scaled_dot_product_attention(query, key, value)


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
    """Change a `MochiTransformer3DModel` to attend without padding, for one sample per call."""
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

"""Mochi's attention without padding, on the kernel that the device is best at.

diffusers' own processor looks up the valid text tokens on every call (`torch.nonzero`: the host
waits for the device 48 times a step, and no compiled graph knows a shape), gathers them, pads the
result, and can't be told which kernel to use.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


class Kernel(StrEnum):
    """The kernels that can be pinned, by the names that a completed video tells."""

    CUDNN = "cudnn"
    FLASH = "flash"
    TORCH = "torch"  # whatever torch chooses


_BACKENDS: Final = {
    Kernel.CUDNN: SDPBackend.CUDNN_ATTENTION,
    Kernel.FLASH: SDPBackend.FLASH_ATTENTION,
}
# From this compute capability on (Hopper) cuDNN has kernels of its own: 631 TFLOP/s at Mochi's head
# sizes on an H100, where torch's default (FlashAttention 2) has 329.
_CUDNN_IS_FASTER: Final = (9, 0)
# Sequences, even and odd, with the heads and the head size of Mochi: a kernel has a plan for these,
# laid out in memory as a block lays them out, or it is not used at all.
_PROBES: Final = ((1, 64, 24, 128), (1, 1023, 24, 128))


def choose_kernel(device: torch.device, dtype: torch.dtype) -> Kernel:
    """The fastest kernel that works with `dtype` on `device`.

    On a CPU torch's own choice: there is one kernel for each type.
    """
    if device.type != "cuda":
        return Kernel.TORCH
    order = [Kernel.CUDNN, Kernel.FLASH]
    if torch.cuda.get_device_capability(device) < _CUDNN_IS_FASTER:
        order.reverse()
    return next((kernel for kernel in order if works(kernel, device, dtype)), Kernel.TORCH)


def works(kernel: Kernel, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether `kernel` runs here at all: a build of torch or a driver may lack it."""
    try:
        for shape in _PROBES:
            probe = torch.zeros(shape, device=device, dtype=dtype).transpose(1, 2)
            DenseAttention(kernel).attend(probe, probe, probe)
    except RuntimeError:
        return False
    return True


class DenseAttention:
    """A processor for `MochiAttention`: one sample, all of whose text tokens are valid.

    With the text trimmed to its true length it gives what diffusers' processor gives for the padded
    text, bit for bit in bf16. It compiles into one graph.

    Args:
        kernel: the one to use; where it can't do what it is asked, RuntimeError is raised.
    """

    def __init__(self, kernel: Kernel) -> None:
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
            encoder_hidden_states: the text, 1 x its tokens (may be none) x its width.
            attention_mask: which text tokens are valid; not looked at.
            image_rotary_emb: cosines and sines, video tokens x heads x half a head.

        Returns:
            What to add to video and text, in their shapes.
        """
        query = _rotated(attn.norm_q(_heads(attn, attn.to_q(hidden_states))), *image_rotary_emb)
        key = _rotated(attn.norm_k(_heads(attn, attn.to_k(hidden_states))), *image_rotary_emb)
        value = _heads(attn, attn.to_v(hidden_states))
        text = encoder_hidden_states
        text_query = attn.norm_added_q(_heads(attn, attn.add_q_proj(text)))
        text_key = attn.norm_added_k(_heads(attn, attn.add_k_proj(text)))
        text_value = _heads(attn, attn.add_v_proj(text))
        attended = self.attend(
            torch.cat([query, text_query], 1).transpose(1, 2),
            torch.cat([key, text_key], 1).transpose(1, 2),
            torch.cat([value, text_value], 1).transpose(1, 2),
        )
        joined = attended.transpose(1, 2).flatten(2, 3)
        tokens = hidden_states.shape[1]
        video, text = joined[:, :tokens], joined[:, tokens:]
        # The last block has no use for its text, and no projection for it.
        return attn.to_out[0](video), attn.to_add_out(text) if hasattr(attn, "to_add_out") else text

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of 1 x heads x tokens x head size each."""
        if self._backend is None:
            return scaled_dot_product_attention(query, key, value)
        with sdpa_kernel(self._backend):
            return scaled_dot_product_attention(query, key, value)


class TrimmedText(nn.Module):
    """Stands where a transformer has its `time_embed`, and passes on the text without its padding.

    The text is embedded and pooled as it comes, padding and mask included, so that this gives the
    bits that it always gave.

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
        """The conditioning, and the text that is there: 1 x valid tokens x width."""
        conditioning, text = self.embed(
            timestep, encoder_hidden_states, encoder_attention_mask, hidden_dtype=hidden_dtype
        )
        # A copy: for a view, the first block would need a compiled graph of its own.
        return conditioning, text[:, : int(encoder_attention_mask.sum())].clone()


def use_dense_attention(transformer: Any, kernel: Kernel) -> None:
    """Make a `MochiTransformer3DModel` take one sample at a time, and attend without padding."""
    transformer.time_embed = TrimmedText(transformer.time_embed)
    for block in transformer.transformer_blocks:
        block.attn1.processor = DenseAttention(kernel)


def _heads(attn: Any, projected: Tensor) -> Tensor:
    heads: Tensor = projected.unflatten(2, (attn.heads, -1))  # type: ignore[no-untyped-call]  # torch's types lack it
    return heads


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding, in fp32 as diffusers has it."""
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    real, imaginary = (even * cos - odd * sin).to(x.dtype), (even * sin + odd * cos).to(x.dtype)
    rotated: Tensor = torch.stack([real, imaginary], dim=-1).flatten(-2)
    return rotated

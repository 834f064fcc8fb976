"""The kernels of scaled dot-product attention, by name."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec
from typing import Final

import torch.nn.attention
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


class KernelAbsent(Exception):
    """A kernel is not installed here."""


class AttentionKernel(StrEnum):
    """The kernels that can be selected; a completed video reports their values."""

    CUDNN = "cudnn"
    FLASH3 = "flash3"  # FlashAttention 3, from its own wheel
    FLASH = "flash"  # torch's: FlashAttention 2 on a GPU, a kernel of the same method on a CPU
    EFFICIENT = "efficient"  # torch's memory-efficient one
    MATH = "math"  # matrix products, which hold all scores: the reference


_BACKENDS: Final = {
    AttentionKernel.CUDNN: SDPBackend.CUDNN_ATTENTION,
    AttentionKernel.FLASH3: SDPBackend.FLASH_ATTENTION,
    AttentionKernel.FLASH: SDPBackend.FLASH_ATTENTION,
    AttentionKernel.EFFICIENT: SDPBackend.EFFICIENT_ATTENTION,
    AttentionKernel.MATH: SDPBackend.MATH,
}
_FLASH3_MODULE: Final = "flash_attn_interface"


def install(kernel: AttentionKernel) -> None:
    """Prepare this process for `attend` with `kernel`, until another kernel is installed.

    FlashAttention 3 takes the place of torch's own FlashAttention in the whole process.

    Raises:
        KernelAbsent: it is not installed.
    """
    active = getattr(torch.nn.attention, "current_flash_attention_impl", lambda: None)()
    if kernel is AttentionKernel.FLASH3:
        if find_spec(_FLASH3_MODULE) is None:
            raise KernelAbsent
        torch.nn.attention.activate_flash_attention_impl("FA3")
    elif active is not None:
        torch.nn.attention.restore_flash_attention_impl()


def attend(kernel: AttentionKernel, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Scaled dot-product attention; each tensor is 1 x heads x tokens x head size.

    Raises:
        RuntimeError: `kernel` can't run on these inputs; no other replaces it.
    """
    with sdpa_kernel(_BACKENDS[kernel]):
        return scaled_dot_product_attention(query, key, value)

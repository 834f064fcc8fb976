"""The precision that training computes in."""

from __future__ import annotations

import torch


def autocast() -> torch.autocast:
    """A context in which the model computes in bf16, or in fp32 on processors without AVX-512.

    Those only emulate bf16, which takes several times as long as fp32. The weights of a seed
    therefore depend on the processor, as they do through the order of its sums.
    """
    fast = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return torch.autocast("cpu", torch.bfloat16, enabled=fast)

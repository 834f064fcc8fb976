"""Attention alone, with each kernel. A part of `engine.py`."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch

from benchmarks.engine_bench import Bench, require_finite
from benchmarks.supervised_parts import Emit
from functions.generate.engine.model.attention_kernels import (
    AttentionKernel,
    KernelAbsent,
    attend,
    install,
)

# Its scores take the square of the tokens: at full size, 190 GB.
MOST_FOR_MATH: Final = 4096


def measure_attention(emit: Emit, *, smoke: bool) -> None:
    """One block's attention for the longest video: 44,584 tokens at full size."""
    bench = Bench.open(smoke=smoke)
    size = bench.size
    heads = size.transformer.get("num_attention_heads", 24)
    head = size.transformer.get("attention_head_dim", 128)
    tokens = bench.tokens(max(size.frames))
    # The layout of the projections in a block.
    query, key, value = (
        torch.randn(1, tokens, heads, head, device=bench.device, dtype=bench.dtype).transpose(1, 2)
        for _ in range(3)
    )
    for kernel in AttentionKernel:
        if kernel is AttentionKernel.MATH and tokens > MOST_FOR_MATH:
            continue
        try:
            install(kernel)
            times = bench.time(partial(attend, kernel, query, key, value))
            deviation = require_finite(times.result)
        except (RuntimeError, KernelAbsent) as error:
            reason = str(error).partition("\n")[0][:200]
            emit(kernel=kernel.value, failed=reason or type(error).__name__)
            continue
        emit(
            figure="attention",
            kernel=kernel.value,
            tokens=tokens,
            seconds=times.median,
            tflops=4e-12 * tokens**2 * heads * head / times.median,
            deviation=deviation,
        )

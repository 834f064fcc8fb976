"""Attention alone, with each kernel. A part of `engine.py`."""

from __future__ import annotations

from functools import partial

import torch

from benchmarks.engine_bench import Bench, require_finite
from benchmarks.engine_model import latent_frames
from benchmarks.supervised_parts import Emit
from functions.generate.engine.model.attention import AttentionKernel, DenseAttention


def measure_attention(emit: Emit, *, smoke: bool) -> None:
    """One block's attention for the longest video: 44,584 tokens at full size."""
    bench = Bench.open(smoke=smoke)
    size = bench.size
    heads = size.transformer.get("num_attention_heads", 24)
    head = size.transformer.get("attention_head_dim", 128)
    tokens = latent_frames(max(size.frames)) * (size.height // 16) * (size.width // 16)
    tokens += size.prompt
    # The layout of the projections in a block.
    query, key, value = (
        torch.randn(1, tokens, heads, head, device=bench.device, dtype=bench.dtype).transpose(1, 2)
        for _ in range(3)
    )
    for kernel in AttentionKernel:
        attention = DenseAttention(kernel)
        try:
            times = bench.time(partial(attention.attend, query, key, value))
            deviation = require_finite(times.result)
        except RuntimeError as error:
            emit(kernel=kernel.value, failed=str(error).splitlines()[0][:200])
            continue
        emit(
            figure="attention",
            kernel=kernel.value,
            tokens=tokens,
            seconds=times.median,
            tflops=4e-12 * tokens**2 * heads * head / times.median,
            deviation=deviation,
        )

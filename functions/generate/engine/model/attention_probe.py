"""Whether an attention kernel computes the right thing here, and how fast it is."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Self

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from functions.generate.engine.messages import Shape
from functions.generate.engine.model.attention_kernels import (
    AttentionKernel,
    KernelAbsent,
    attend,
    install,
)
from functions.generate.engine.model.text_encoder import MAX_TOKENS

# Of the relative difference from math. Kernels round what they multiply to the data type, which
# makes some tenths of a per cent in bf16; a token too few or too many, about 1/sqrt(tokens).
TOLERANCES: Final = {torch.bfloat16: 1e-2, torch.float16: 1e-2, torch.float32: 1e-4}
# Of the comparison with math: few enough for it, more than a kernel's tile, and no multiple of one.
COMPARED_TOKENS: Final = {"cuda": 500, "cpu": 150}
COMPARED_TEXTS: Final = (0, 1, 77)
# Of the measurement, if no videos to warm up with are configured.
TIMED_TOKENS: Final = {"cuda": 8192, "cpu": 256}
TIMED_RUNS: Final = 3


@dataclass(frozen=True)
class Attention:
    """What a kernel has to compute.

    Attributes:
        heads: of the transformer.
        head_size: the width of each.
        tokens: of video and text, at which kernels are timed.
        device: where.
        dtype: of its inputs.
    """

    heads: int
    head_size: int
    tokens: int
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, transformer: Any, sizes: Iterable[Shape], device: torch.device) -> Self:
        """That of a `MochiTransformer3DModel`; timed with the largest of `sizes`."""
        config = transformer.config
        return cls(
            config.num_attention_heads,
            config.attention_head_dim,
            tokens_to_time(sizes, device),
            device,
            transformer.dtype,
        )

    def draw(self, tokens: int) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of `tokens` tokens, always the same, in a block's layout."""
        generator = torch.Generator(self.device).manual_seed(0)
        shape = (1, tokens, self.heads, self.head_size)
        query, key, value = (
            torch.randn(shape, generator=generator, device=self.device).to(self.dtype)
            for _ in range(3)
        )
        return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)


def tokens_to_time(shapes: Iterable[Shape], device: torch.device) -> int:
    """The tokens of the longest of `shapes` and of a text; some number if there are none."""
    videos = [
        ((one.frames - 1) // 6 + 1) * (one.height // 16) * (one.width // 16) for one in shapes
    ]
    return max(videos, default=TIMED_TOKENS[device.type]) + MAX_TOKENS


def find_problem(kernel: AttentionKernel, attention: Attention) -> str | None:
    """Why `kernel` can't be used: `absent`, `wrong: ...` or `failing: ...`; None if it can.

    Compares it with math, in fp32, for texts of several lengths. There, text is padded and masked
    as in diffusers; `kernel` gets the valid tokens only, as in `DenseAttention`.
    """
    try:
        install(kernel)
        difference = max(_difference(kernel, attention, text) for text in COMPARED_TEXTS)
    except KernelAbsent:
        return "absent"
    except Exception as error:  # noqa: BLE001 - whatever a kernel raises, it is of no use
        first = str(error).partition("\n")[0][:120]
        return f"failing: {type(error).__name__}: {first}"
    if difference <= TOLERANCES[attention.dtype]:  # false if it is not a number
        return None
    return f"wrong: it differs from math by {difference:.2g}"


def _difference(kernel: AttentionKernel, attention: Attention, text: int) -> float:
    """The norm of the difference from math, relative to that of math's result."""
    video = COMPARED_TOKENS[attention.device.type]
    padded = attention.draw(video + max(COMPARED_TEXTS))
    tokens = video + text
    valid = torch.arange(padded[0].shape[2], device=attention.device) < tokens
    with sdpa_kernel(SDPBackend.MATH):
        query, key, value = (one.float() for one in padded)
        expected = scaled_dot_product_attention(query, key, value, attn_mask=valid[None])
    expected = expected[:, :, :tokens]
    found = attend(kernel, *(one[:, :, :tokens] for one in padded))
    return float((found.float() - expected).norm() / expected.norm())


def measure_milliseconds(kernel: AttentionKernel, attention: Attention) -> float:
    """The shortest of a few calls: other work on the machine only makes them longer."""
    install(kernel)
    run = partial(attend, kernel, *attention.draw(attention.tokens))
    times = []
    for _ in range(1 + TIMED_RUNS):  # the first one makes plans
        _wait_for(attention.device)
        began = time.perf_counter()
        run()
        _wait_for(attention.device)
        times.append(time.perf_counter() - began)
    return min(times[1:]) * 1e3


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)

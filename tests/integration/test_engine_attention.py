"""Dense attention gives the results of diffusers' own, and compiles into one graph."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import MochiTransformer3DModel

from functions.generate.engine.model.attention import use_dense_attention
from functions.generate.engine.model.attention_kernels import AttentionKernel, attend
from functions.generate.engine.model.compilation import compile_blocks

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")


def transformer(dtype: torch.dtype, layers: int = 2) -> Any:
    torch.manual_seed(0)
    model = MochiTransformer3DModel(
        num_attention_heads=4,
        attention_head_dim=32,
        num_layers=layers,
        pooled_projection_dim=64,
        text_embed_dim=64,
        time_embed_dim=32,
    )
    torch.nn.init.normal_(model.pos_frequencies, std=0.3)
    return model.eval().to(dtype)


def inputs(tokens: int, dtype: torch.dtype) -> dict[str, Any]:
    """A transformer's arguments: 256 text tokens, of which the first `tokens` are valid."""
    generator = torch.Generator().manual_seed(tokens)
    return {
        "hidden_states": torch.randn(1, 12, 3, 16, 16, generator=generator).to(dtype),
        "encoder_hidden_states": torch.randn(1, 256, 64, generator=generator).to(dtype),
        "timestep": torch.tensor([500.0]),
        "encoder_attention_mask": (torch.arange(256) < tokens)[None],
        "return_dict": False,
    }


@pytest.mark.parametrize("tokens", [0, 1, 7, 33, 256])
def test_dense_attention_gives_the_stock_bits(tokens: int) -> None:
    """In bf16, for every text length; in fp32 within rounding, as a CPU sums few rows otherwise."""
    for dtype in (torch.bfloat16, torch.float32):
        model = transformer(dtype)
        stock = model(**inputs(tokens, dtype))[0]
        use_dense_attention(model, AttentionKernel.FLASH)
        dense = model(**inputs(tokens, dtype))[0]
        if dtype is torch.bfloat16:
            assert torch.equal(stock, dense)
        else:
            torch.testing.assert_close(stock, dense, rtol=0, atol=2e-5)


def test_dense_attention_compiles_into_one_graph() -> None:
    """Without graph breaks, and once for all sizes and text lengths."""
    model = transformer(torch.float32, layers=4)
    torch._dynamo.reset()
    graphs: list[Any] = []

    def count(graph: Any, _: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    use_dense_attention(model, AttentionKernel.FLASH)
    plain = [model(**inputs(tokens, torch.float32))[0] for tokens in (7, 20, 256)]
    compile_blocks(model, backend=count)
    compiled = [model(**inputs(tokens, torch.float32))[0] for tokens in (7, 20, 256)]
    larger = inputs(9, torch.float32) | {"hidden_states": torch.randn(1, 12, 2, 8, 24)}
    model(**larger)
    assert len(graphs) == 2, "one for the last block, and one for the others"
    for one, other in zip(plain, compiled, strict=True):
        torch.testing.assert_close(one, other)
    torch._dynamo.reset()


@pytest.mark.parametrize("kernel", [AttentionKernel.FLASH, AttentionKernel.MATH])
def test_a_pinned_kernel_compiles_into_one_graph(kernel: AttentionKernel) -> None:
    """Selecting a kernel, as on GPUs, causes no graph break."""
    model = transformer(torch.bfloat16)
    use_dense_attention(model, kernel)
    plain = model(**inputs(9, torch.bfloat16))[0]
    torch._dynamo.reset()
    compile_blocks(model, backend="aot_eager")
    torch.testing.assert_close(model(**inputs(9, torch.bfloat16))[0], plain)
    torch._dynamo.reset()


def test_a_pinned_kernel_is_used_or_refused() -> None:
    """The selected kernel runs, or raises an error; no other kernel replaces it."""
    query = torch.randn(1, 2, 5, 16)
    for kernel in (AttentionKernel.CUDNN, AttentionKernel.EFFICIENT):  # a CPU has neither
        with pytest.raises(RuntimeError):
            attend(kernel, query, query, query)

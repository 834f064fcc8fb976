"""A step of the transformer: ours, and stock diffusers'. Parts of `engine.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.engine_bench import Bench, require_finite
from benchmarks.engine_model import build_transformer, transformer_flops
from benchmarks.supervised_parts import Emit
from functions.generate.engine.model.attention_probe import Attention
from functions.generate.engine.model.compilation import compile_blocks
from functions.generate.engine.model.guidance import GuidanceBranches
from functions.generate.engine.model.kernel_choice import choose_kernel
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.text_encoder import EncodedPrompt


def measure_ours(
    emit: Emit,
    *,
    smoke: bool,
    frames: Sequence[int],
    compiled: bool,
    deterministic: bool = True,
    dynamic: bool = True,
) -> None:
    """One branch of a step, the work of each of two GPUs.

    Args:
        emit: called for each length.
        smoke: whether to use the tiny model.
        frames: lengths of videos.
        compiled: whether the blocks are compiled.
        deterministic: False to have the compiler measure its options, unlike the engine.
        dynamic: False to compile for the first length only, unlike the engine.
    """
    bench = Bench.open(smoke=smoke)
    model = build_transformer(bench.size, bench.device, bench.dtype)
    config = model.config
    heads, head_size = config.num_attention_heads, config.attention_head_dim
    tokens = bench.tokens(max(frames))
    attention = Attention(heads, head_size, tokens, bench.device, bench.dtype)
    chosen = choose_kernel(attention, Ranks())
    emit(figure="kernel", **asdict(chosen))
    ours = GuidanceBranches(model, chosen.kernel, Ranks())
    if compiled:
        compile_blocks(model)
        torch._inductor.config.deterministic = deterministic  # noqa: SLF001 - where torch documents it
        if not dynamic:
            for block in model.transformer_blocks:
                block.compile(fullgraph=True, dynamic=False)
    how = {
        "attention": chosen.kernel.value,
        "compiled": compiled,
        "deterministic": deterministic,
        "dynamic": dynamic,
    }
    for length in frames:
        run = partial(_predict, ours, bench.inputs(length, 1))
        _measure(bench, partial(emit, who="ours", **how), model, run, length, 1)
    torch._dynamo.reset()  # noqa: SLF001 - the next part compiles in its own way
    del model, ours, run
    bench.free()


def measure_stock(emit: Emit, *, smoke: bool, frames: Sequence[int], branches: int) -> None:
    """A step of the transformer of diffusers, with `branches` in one batch, for each length."""
    bench = Bench.open(smoke=smoke)
    model = build_transformer(bench.size, bench.device, bench.dtype)
    for length in frames:
        run = partial(_stock, model, bench.inputs(length, branches))
        _measure(bench, partial(emit, who="stock"), model, run, length, branches)
    del model, run
    bench.free()


def _measure(
    bench: Bench, emit: Emit, model: Any, run: Callable[[], Tensor], frames: int, branches: int
) -> None:
    times = bench.time(run)
    flops = branches * sum(transformer_flops(bench.size, model, frames))
    emit(
        figure="step",
        frames=frames,
        branches=branches,
        seconds=times.median,
        tflops=flops / times.median / 1e12,
        first_seconds=times.first,
        deviation=require_finite(times.result),
    )


def _stock(model: Any, arguments: dict[str, Any]) -> Tensor:
    prediction: Tensor = model(**arguments)[0]
    return prediction


def _predict(branches: GuidanceBranches, arguments: dict[str, Any]) -> Tensor:
    """Our prediction for the arguments of a stock transformer with a batch of one."""
    prompt = EncodedPrompt(arguments["encoder_hidden_states"], arguments["encoder_attention_mask"])
    return branches.predict(arguments["hidden_states"], arguments["timestep"][0], [prompt])[0]

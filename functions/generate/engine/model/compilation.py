"""Compiles the transformer block by block: its 48 blocks have one shape and are compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.utils
import torch.fx.experimental._config


def compile_blocks(transformer: Any, backend: str | Callable[..., Any] = "inductor") -> None:
    """Have each block of a `MochiTransformer3DModel` compiled on its first call.

    One graph serves all sizes and text lengths, so a video of a new size does not wait for the
    compiler; only texts of no token and of one get their own graphs. diffusers'
    `compile_repeated_blocks` does not support Mochi.

    Args:
        transformer: with dense attention.
        backend: torch's compiler backend.
    """
    # Two kinds of block (the last one differs), each for three kinds of text, plus room for flags
    # that torch guards on. Beyond the limit torch raises an error, because `fullgraph` is set.
    torch._dynamo.config.recompile_limit = 16  # noqa: SLF001 - where torch documents it
    # Otherwise each process benchmarks its options and picks the fastest, which may sum in another
    # order: the same seed would give different videos in different processes.
    torch._inductor.config.deterministic = True  # noqa: SLF001 - the same
    # Otherwise sizes that are equal by chance, such as a text's tokens and the heads, are taken for
    # the same size, and the next video needs another graph.
    torch.fx.experimental._config.use_duck_shape = False  # noqa: SLF001 - the same
    for block in transformer.transformer_blocks:
        block.compile(backend=backend, fullgraph=True, dynamic=True)


def count_graphs() -> tuple[int, int]:
    """How many graphs this process has compiled, and how many it took from torch's cache."""
    counters = torch._dynamo.utils.counters  # noqa: SLF001 - torch has no other place for them
    cached = counters["inductor"]["fxgraph_cache_hit"]
    return counters["stats"]["unique_graphs"] - cached, cached

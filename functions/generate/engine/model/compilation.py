"""Compile the transformer, block by block: 48 blocks of one shape are compiled once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


def compile_blocks(transformer: Any, backend: str | Callable[..., Any] = "inductor") -> None:
    """Let each block of a `MochiTransformer3DModel` be compiled when it is first called.

    One graph serves all sizes and lengths of text, so that a video of a new size waits for no
    compiler; only a text of no tokens gets one of its own. diffusers' own way,
    `compile_repeated_blocks`, refuses Mochi.

    Args:
        transformer: with dense attention.
        backend: torch's compiler.
    """
    # A first and a last kind of block, each with and without text, and room for flags that torch
    # looks at; beyond its limit torch raises an error, since the whole graph is asked for.
    torch._dynamo.config.recompile_limit = 16  # noqa: SLF001 - where torch documents it
    # Without it each process times what it could run and takes the fastest, in which sums may be
    # added up in another order: a seed would make one video here and another one there.
    torch._inductor.config.deterministic = True  # noqa: SLF001 - the same
    for block in transformer.transformer_blocks:
        block.compile(backend=backend, fullgraph=True, dynamic=True)

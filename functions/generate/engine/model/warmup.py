"""Renders before the first job.

Whatever is slow the first time (compilation, kernel plans, connections between ranks, memory
allocation), or broken, then shows before a user waits for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import torch

from functions.generate.engine.messages import RenderJob, Shape
from functions.generate.engine.model.rendering import Renderer
from functions.generate.engine.model.text_encoder import MAX_TOKENS
from functions.shared.video.requests import ResolvedRequest

# The smallest video that Mochi can render: one patch of 2x2 latents of 8x8 pixels each, and two
# latent frames.
SMALLEST: Final = Shape(16, 16, 7)
# Texts of no token and of one compile to graphs of their own; all longer ones share a third.
TOKENS: Final = (MAX_TOKENS, 0, 1, 2)
# A preview of the smallest video takes nearly as long as that of a larger one: by its pixels, these
# would seem to be far too expensive.
PREVIEWED: Final = Shape(128, 128, 7)
GUIDED: Final = 4.5
UNGUIDED: Final = 1.0


def warm_up(renderer: Renderer, shapes: Iterable[Shape], scratch: Path) -> None:
    """Render each of `shapes` once, then the smallest video; previews of them too.

    All ranks call this at the same time.

    Args:
        renderer: what is warmed up.
        shapes: besides the smallest.
        scratch: a folder for the videos, which are removed.

    Raises:
        Exception: a render failed, so this engine does not work.
    """
    # The compiler optimizes for the sizes it meets first, and reuses that code for all others. So
    # each rank compiles each graph for the same size, whichever branch it computes later: otherwise
    # their sums could differ in order.
    order = (*shapes, SMALLEST)
    for shape in (*order, PREVIEWED):
        _preview(renderer, shape)
    for tokens in TOKENS:
        _predict(renderer, order[0], tokens)
    for shape in order:
        _render(renderer, _request(renderer, shape, GUIDED, ""), scratch)
    _render(renderer, _request(renderer, SMALLEST, GUIDED, "warm up"), scratch)
    _render(renderer, _request(renderer, SMALLEST, UNGUIDED, ""), scratch)


def _predict(renderer: Renderer, shape: Shape, tokens: int) -> None:
    with torch.no_grad():
        renderer.model.predict_text_of(_request(renderer, shape, GUIDED, ""), tokens)


def _preview(renderer: Renderer, shape: Shape) -> None:
    if renderer.model.ranks.rank == 0:
        noise = renderer.model.draw_noise(_request(renderer, shape, GUIDED, ""))
        with torch.no_grad():
            renderer.previewer.warm_up(noise)


def _render(renderer: Renderer, request: ResolvedRequest, scratch: Path) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        renderer.render(RenderJob(request, "warm-up", Path(folder)), lambda *_: None)


def _request(
    renderer: Renderer, shape: Shape, guidance_scale: float, negative_prompt: str
) -> ResolvedRequest:
    return ResolvedRequest(
        prompt="warm up",
        negative_prompt=negative_prompt,
        model="",
        width=shape.width,
        height=shape.height,
        num_frames=shape.frames,
        fps=1,
        num_inference_steps=renderer.model.sigmas.fewest_steps,
        guidance_scale=guidance_scale,
        seed=0,
        metadata={},
    )

"""Renders before the first job.

Whatever is slow the first time (compilation, kernel plans, connections between ranks, memory
allocation), or broken, then shows before a user waits for it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from functions.generate.engine.messages import RenderJob, Shape
from functions.generate.engine.model.rendering import Renderer
from functions.shared.video.requests import ResolvedRequest

# The smallest video that Mochi can render: one patch of 2x2 latents of 8x8 pixels each, two latent
# frames, and two steps, because its schedule can't have just one.
SMALLEST: Final = Shape(16, 16, 7)
STEPS: Final = 2


def warm_up(renderer: Renderer, shapes: Iterable[Shape]) -> None:
    """Render each of `shapes`, then the smallest video, in the fewest possible steps.

    Raises:
        Exception: a render failed, so this engine does not work.
    """
    # The compiler optimizes for the sizes it meets first, and reuses that code for all others. Each
    # rank needs an empty text and a non-empty one, because they compile differently.
    for shape in (*shapes, SMALLEST):
        for negative_prompt in ("", "warm up"):
            _render(renderer, shape, negative_prompt)


def _render(renderer: Renderer, shape: Shape, negative_prompt: str) -> None:
    request = ResolvedRequest(
        prompt="warm up",
        negative_prompt=negative_prompt,
        model="",
        width=shape.width,
        height=shape.height,
        num_frames=shape.frames,
        fps=1,
        num_inference_steps=STEPS,
        guidance_scale=4.5,
        seed=0,
        metadata={},
    )
    with tempfile.TemporaryDirectory() as folder:
        renderer.render(RenderJob(request, "warm-up", Path(folder)), lambda *_: None)

"""What is rendered before the first video.

What is slow the first time, or broken, shows before anybody waits for it: compilers, plans of
kernels, connections between ranks, memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from functions.generate.engine.messages import Order, Shape
from functions.generate.engine.model.rendering import Renderer
from functions.shared.video.requests import ResolvedRequest

# The least that Mochi can make: one patch of two by two latents of 8x8 pixels, two latent frames,
# and two steps, because its schedule can't be made of one.
SMALLEST: Final = Shape(16, 16, 7)
STEPS: Final = 2


def warm_up(renderer: Renderer, shapes: Iterable[Shape]) -> None:
    """Render one video of each of `shapes`, and the smallest, in the least number of steps.

    Raises:
        Exception: whatever a render raises; this engine can't work.
    """
    # A compiler chooses for the sizes that it meets first, and what it makes then serves all. Each
    # rank has to meet a text that is empty and one that is not: they compile differently.
    for shape in (*shapes, SMALLEST):
        for negative in ("", "warm up"):
            _render(renderer, shape, negative)


def _render(renderer: Renderer, shape: Shape, negative: str) -> None:
    request = ResolvedRequest(
        prompt="warm up",
        negative_prompt=negative,
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
        renderer.render(Order(request, "warm-up", Path(folder)), lambda *_: None)

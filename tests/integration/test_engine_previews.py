"""Previews of the real engine: they show the video, change nothing of it, and stay cheap."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from functions.generate.engine.messages import PreviewLimits, Progress, RenderJob
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.mochi import Mochi
from functions.generate.engine.model.previews import Previewer
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.rendering import Renderer
from functions.generate.engine.model.warmup import warm_up
from functions.generate.engine.parent.engine import Engine
from functions.shared.video.profiles import SigmaSchedule, load_profile
from functions.shared.video.progress import Stage
from tests.demo_engine import DEMO, HANG_SECONDS, START_SECONDS, render_small, small_request

# After each step from the second of six to the last but one, whatever they cost.
ALWAYS = PreviewLimits(seconds=1e-9, share=math.inf)
LATENTS = torch.zeros(1, 12, 5, 8, 12)


@pytest.fixture(scope="module", params=[1, 2])
def engines(request: pytest.FixtureRequest, forked_engines: None) -> Iterator[list[Engine]]:  # noqa: ARG001 - for its effect
    """An engine without previews, and one with, of one rank or two."""
    started = [
        Engine(
            str(DEMO),
            hang_seconds=HANG_SECONDS,
            ranks=request.param,
            fast=load_profile("demo").fast,
            previews=limits,
        )
        for limits in (None, ALWAYS)
    ]
    for engine in started:
        engine.start()
    yield started
    for engine in started:
        engine.close()


@pytest.mark.parametrize(
    "settings",
    [{}, {"guidance_scale": 1.0}, {"quality": "fast", "size": "64x48", "num_frames": 19}],
    ids=["guided", "unguided", "fast"],
)
def test_previews_change_nothing_of_the_file(
    engines: list[Engine], tmp_path: Path, settings: dict[str, Any]
) -> None:
    """Byte for byte, and as many steps are reused."""
    made: list[list[bytes]] = []
    rendered = []
    for number, engine in enumerate(engines):
        assert engine.wait(START_SECONDS), engine.failure
        pictures: list[bytes] = []

        def collect(progress: Progress, pictures: list[bytes] = pictures) -> None:
            if progress.preview is not None:
                assert progress.stage is Stage.DENOISING
                pictures.append(progress.preview)

        rendered.append(render_small(engine, tmp_path / str(number), collect, **settings))
        made.append(pictures)
    assert [len(pictures) for pictures in made] == [0, 4]
    without, with_previews = rendered
    for name in ("video", "thumbnail", "spritesheet"):
        assert getattr(with_previews, name).read_bytes() == getattr(without, name).read_bytes()
    assert with_previews.engine.steps_reused == without.engine.steps_reused
    width, height = map(int, settings.get("size", "32x32").split("x"))
    assert {_pixels(jpeg).shape for jpeg in made[1]} == {(height, width, 3)}


@pytest.fixture
def model(one_thread: None, no_grad: None) -> Mochi:  # noqa: ARG001 - for their effect
    profile = load_profile("demo")
    return Mochi(locate_checkpoint(str(DEMO)), Ranks(), profile.sigmas)


def test_previews_come_ever_closer_to_the_middle_of_the_video(model: Mochi, tmp_path: Path) -> None:
    """The last one is the thumbnail, but for what is decoded without the frames before it."""
    renderer = Renderer(model, ALWAYS)
    renderer.previewer.warm_up(LATENTS)
    pictures: list[bytes] = []

    def report(_: Stage, __: int, ___: int, preview: bytes | None = None, /) -> None:
        pictures.extend([preview] if preview is not None else [])

    request = small_request(
        prompt="a red circle moving right", size="96x64", num_frames=25, num_inference_steps=16
    )
    rendered = renderer.render(RenderJob(request, "video_1", tmp_path), report)
    assert rendered is not None
    thumbnail = _pixels(rendered.thumbnail.read_bytes())
    first, *_, last = (np.abs(_pixels(jpeg) - thumbnail).mean() for jpeg in pictures)
    assert len(pictures) == 12
    assert last < first
    assert last < 8


def _pixels(jpeg: bytes) -> NDArray[np.float32]:
    return np.asarray(Image.open(BytesIO(jpeg)), np.float32)


class Machine:
    """A clock, and a decoder that takes `cost` seconds of it for a latent frame."""

    def __init__(self, cost: float) -> None:
        self.now = 0.0
        self.cost = cost

    def decode(self, latents: Tensor) -> Iterator[Tensor]:
        """As `StreamingDecoder.decode`."""
        assert latents.shape[2] == 1
        self.now += self.cost
        yield torch.zeros(1, 8 * latents.shape[3], 8 * latents.shape[4], 3, dtype=torch.uint8)


def _previewer(machine: Machine, limits: PreviewLimits) -> Previewer:
    return Previewer(machine.decode, limits, lambda: machine.now)


def _render(machine: Machine, previewer: Previewer, steps: int, seconds: float) -> list[int]:
    """The steps after which a render with steps of `seconds` makes a preview."""
    of_video = previewer.of_video()
    made = []
    for step in range(1, steps + 1):
        machine.now += seconds
        if of_video.after_step(step, steps, lambda: LATENTS) is not None:
            made.append(step)
    return made


@pytest.mark.parametrize("cost", [0.01, 0.2, 0.5, 3.0])
def test_previews_take_a_hundredth_of_the_time_at_most(cost: float) -> None:
    """At every moment, whatever one costs; then there are fewer of them, or none."""
    machine = Machine(cost)
    previewer = _previewer(machine, PreviewLimits(seconds=10))
    previewer.warm_up(LATENTS)
    began = machine.now
    made = _render(machine, previewer, 64, 1.5)
    assert len(made) == {0.01: 8, 0.2: 4, 0.5: 1, 3.0: 0}[cost]
    assert len(made) * cost <= 0.01 * (machine.now - began)


def test_previews_begin_after_a_fifth_of_the_steps_and_keep_their_distance() -> None:
    """And none is made after the last step, when the video itself is about to be decoded."""
    machine = Machine(0.001)
    previewer = _previewer(machine, PreviewLimits(seconds=9.5))
    previewer.warm_up(LATENTS)
    assert _render(machine, previewer, 50, 1) == [10, 20, 30, 40]
    assert _render(machine, previewer, 10, 100) == list(range(2, 10))
    off = _previewer(machine, PreviewLimits(seconds=0, share=math.inf))
    assert _render(machine, off, 10, 100) == []


def test_a_size_whose_cost_is_unknown_is_not_tried() -> None:
    """A video that was decoded, or a preview of another size, is a bound on the cost."""
    machine = Machine(0.1)
    previewer = _previewer(machine, PreviewLimits(seconds=1))
    assert _render(machine, previewer, 10, 100) == []
    previewer.costs.record_video(LATENTS, 5.0)
    assert previewer.costs.bound(LATENTS) == 1.0
    previewer.warm_up(LATENTS[..., :4, :6])
    assert previewer.costs.bound(LATENTS) == pytest.approx(0.4)
    assert previewer.costs.bound(LATENTS[..., :2, :2]) == pytest.approx(0.1)
    assert _render(machine, previewer, 10, 100) == list(range(2, 10))
    assert previewer.costs.bound(LATENTS) == pytest.approx(0.1)


def test_a_preview_that_fails_is_the_last_and_nothing_else_fails(
    model: Mochi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of memory, for example; the video is complete."""
    renderer = Renderer(model, ALWAYS)
    renderer.previewer.costs.record_preview(LATENTS, 0.0)
    calls: list[Tensor] = []

    def fail(latents: Tensor) -> bytes:
        calls.append(latents)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(renderer.previewer, "make", fail)
        rendered = renderer.render(
            RenderJob(small_request(), "video_1", tmp_path / "a"), lambda *_: None
        )
    assert rendered is not None
    assert len(calls) == 1
    again = renderer.render(RenderJob(small_request(), "video_1", tmp_path / "b"), lambda *_: None)
    assert again is not None
    assert again.video.read_bytes() == rendered.video.read_bytes()


@pytest.mark.usefixtures("one_thread")
def test_the_warm_up_prepares_previews(tmp_path: Path) -> None:
    """Of each shape, so no request waits for it, and its cost is known."""
    model = Mochi(locate_checkpoint(str(DEMO)), Ranks(), SigmaSchedule())
    made: list[tuple[int, ...]] = []
    for limits in (PreviewLimits(seconds=10), PreviewLimits(seconds=0)):
        renderer = Renderer(model, limits)
        original: Callable[[Tensor], bytes] = renderer.previewer.make

        def make(latents: Tensor, original: Callable[[Tensor], bytes] = original) -> bytes:
            made.append(tuple(latents.shape[3:]))
            return original(latents)

        renderer.previewer.make = make  # type: ignore[method-assign]  # counts its calls
        warm_up(renderer, [], tmp_path)
    assert made == [(2, 2), (2, 2), (16, 16), (16, 16)]

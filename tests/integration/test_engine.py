"""The engine with the demo checkpoint: real classes of diffusers in a real child process."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from PIL import Image

from functions.generate.engine.messages import Progress, Rendered
from functions.generate.engine.model import checkpoint
from functions.generate.engine.parent.engine import Engine
from functions.shared.errors import AttemptFailed, EngineCrashed, OutOfMemory, RenderCancelled
from functions.shared.video.profiles import load_profile
from functions.shared.video.progress import ENGINE_STAGES, Stage
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from local.stack import DEFAULT_MODEL, ROOT
from tests.patience import wait_until

DEMO = ROOT / DEFAULT_MODEL
# Far longer than a step of the demo takes, even on a busy machine.
HANG_SECONDS = 5
START_SECONDS = 120

Render = Callable[..., Rendered]


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """The engine that all tests share, ready again if the test before made it crash."""
    assert shared_engine.wait(START_SECONDS), shared_engine.failure
    return shared_engine


@pytest.fixture
def render(engine: Engine, tmp_path: Path) -> Render:
    """Render what the arguments ask for, the rest being small."""
    numbers = itertools.count()

    def run(
        on_progress: Callable[[Progress], Any] = lambda _: None,
        cancelled: threading.Event | None = None,
        **asked: Any,
    ) -> Rendered:
        folder = tmp_path / str(next(numbers))
        return engine.render(
            request(**asked), "video_1", folder, on_progress, cancelled or threading.Event()
        )

    return run


def request(**asked: Any) -> ResolvedRequest:
    small = {"prompt": "a red circle", "size": "48x32", "num_frames": 7, "num_inference_steps": 4}
    video = VideoRequest.model_validate(small | {"seed": 1} | asked)
    return ResolvedRequest.resolve(video, load_profile("demo"), "acme", "video_1")


def frames_of(rendered: Rendered) -> NDArray[np.uint8]:
    with av.open(str(rendered.video)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def pid_of(engine: Engine) -> int:
    assert engine._supervisor.group is not None
    pid = engine._supervisor.group.children[0].pid
    assert pid is not None
    return pid


def at(step: int, act: Callable[[], Any]) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if (progress.stage, progress.done) == (Stage.DENOISING, step):
            act()

    return on_progress


def test_a_render_is_a_video_that_browsers_play(render: Render) -> None:
    """H.264, yuv420p, BT.709, the asked size, length and rate, and its index at the start."""
    rendered = render(size="96x64", num_frames=25, fps=12)
    with av.open(str(rendered.video)) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.width, context.height) == (96, 64)
        assert stream.frames == 25
        assert stream.average_rate == Fraction(12)
        colours = (context.color_primaries, context.color_trc, context.colorspace)
        assert [int(c) for c in colours] == [1, 1, 1]  # BT.709
        assert int(context.color_range) == 1  # limited
    content = rendered.video.read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")
    assert frames_of(rendered).shape == (25, 64, 96, 3)
    assert (rendered.width, rendered.height, rendered.frames) == (96, 64, 25)
    assert rendered.timings.keys() == set(ENGINE_STAGES)
    assert (rendered.engine.device, rendered.engine.ranks) == ("CPU", 1)
    assert (rendered.engine.attention, rendered.engine.precision) == ("torch", "float32")
    if sys.platform == "linux":
        # A process with torch and diffusers is hundreds of megabytes, and the demo little more.
        assert rendered.engine.peak_memory.keys() == set(ENGINE_STAGES)
        assert all(10e6 < peak < 4e9 for peak in rendered.engine.peak_memory.values())
    assert rendered.model_revision == checkpoint.locate(str(DEMO)).revision


def test_a_render_is_not_blank(render: Render) -> None:
    """Something is seen in every frame, and it moves."""
    prompt = "a red circle moving right on a white background"
    frames = frames_of(render(prompt=prompt, size="96x64", num_frames=25)).astype(float)
    assert frames.std(axis=(1, 2)).max(axis=-1).min() > 20
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.3


def test_a_file_says_how_it_was_made(render: Render) -> None:
    """The metadata holds the prompt, the seed and the revision of the model."""
    rendered = render(prompt="a red circle", seed=77)
    with av.open(str(rendered.video)) as container:
        tags = dict(container.metadata)
    made_by = json.loads(tags["comment"])
    assert tags["title"] == made_by["prompt"] == "a red circle"
    assert (made_by["seed"], made_by["model_revision"]) == (77, rendered.model_revision)
    assert made_by["video_id"] == "video_1"


def test_pictures_go_with_the_video(render: Render) -> None:
    """The thumbnail is the middle frame; the spritesheet a grid of four columns."""
    rendered = render(size="96x64", num_frames=25)
    middle = frames_of(rendered)[12].astype(float)
    with Image.open(rendered.thumbnail) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (96, 64))
        assert np.abs(np.asarray(thumbnail).astype(float) - middle).mean() < 12
    with Image.open(rendered.spritesheet) as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", (4 * 96, 4 * 64))


def test_a_seed_makes_one_video(render: Render) -> None:
    """The same seed gives the same frames, another one gives others."""
    first, again, other = render(seed=5), render(seed=5), render(seed=6)
    assert np.array_equal(frames_of(first), frames_of(again))
    assert not np.array_equal(frames_of(first), frames_of(other))


def test_what_is_asked_matters(render: Render) -> None:
    """Prompt, negative prompt and guidance each change the frames."""
    plain = frames_of(render(num_inference_steps=16))
    for other in (
        {"prompt": "a blue square"},
        {"negative_prompt": "slow sea"},
        {"guidance_scale": 1.0},
    ):
        assert not np.array_equal(plain, frames_of(render(num_inference_steps=16, **other))), other


@pytest.mark.parametrize(
    "text",
    [
        "\N{FIRE}\N{DRAGON} 火の鳥",
        "word " * 819 + "x",
        "a\0b",
        "x" * 4096,
        '"quoted" \\ {json}\nnew line',
        "=;#",
    ],
    ids=["emoji", "long", "nul", "one-long-word", "quotes", "ffmetadata"],
)
def test_any_text_renders(render: Render, text: str) -> None:
    """No prompt that the API lets through makes a render fail, or is lost in the metadata."""
    assert len(text) <= 4096
    rendered = render(prompt=text, negative_prompt=text)
    assert len(frames_of(rendered)) == 7
    with av.open(str(rendered.video)) as container:
        assert json.loads(container.metadata["comment"])["prompt"] == text


def test_progress_counts_every_step(render: Render) -> None:
    """Each stage comes once and in order, starts at 0, never falls back, and reaches its total."""
    seen: list[Progress] = []
    render(seen.append, num_inference_steps=5)
    stages = [stage for stage, _ in itertools.groupby(seen, key=lambda progress: progress.stage)]
    assert stages == list(ENGINE_STAGES)
    for stage, total in zip(ENGINE_STAGES, (1, 5, 7, 1), strict=True):
        part = [progress for progress in seen if progress.stage == stage]
        assert [progress.done for progress in part] == list(range(total + 1))
        assert {progress.total for progress in part} == {total}


@pytest.mark.parametrize("stage", list(ENGINE_STAGES))
def test_a_cancelled_render_stops_at_its_next_step(render: Render, stage: Stage) -> None:
    """In every stage; nothing comes after, no video is left, and the next render works."""
    cancelled = threading.Event()
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        if progress.stage == stage and progress.done == 1:
            cancelled.set()

    with pytest.raises(RenderCancelled):
        render(on_progress, cancelled)
    assert (seen[-1].stage, seen[-1].done) == (stage, 1)
    render()


def test_a_cancelled_video_leaves_no_file(engine: Engine, tmp_path: Path) -> None:
    """Cancelled while it is written, a video is not there half."""
    cancelled = threading.Event()

    def on_progress(progress: Progress) -> None:
        if progress.stage == Stage.DECODING and progress.done == 5:
            cancelled.set()

    with pytest.raises(RenderCancelled):
        engine.render(request(), "video_1", tmp_path, on_progress, cancelled)
    assert not list(tmp_path.glob("*.mp4"))


def test_what_the_callback_raises_comes_out(render: Render) -> None:
    """An error of the caller's own ends the render, and the next one works."""
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        raise KeyError(progress.done)

    with pytest.raises(KeyError):
        render(on_progress)
    assert len(seen) == 1
    render()


def test_one_render_at_a_time(render: Render) -> None:
    """A second render beside the first is refused, and does not disturb it."""
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(RuntimeError) as caught:
            render()
        refused.append(str(caught.value))

    render(at(2, second))
    assert refused == ["the engine is rendering another video"]


def test_signals_of_a_terminal_do_not_end_a_video(engine: Engine, render: Render) -> None:
    """Ctrl-C and SIGTERM reach the whole process group; the child leaves them to its parent."""
    pid = pid_of(engine)

    def interrupt() -> None:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)

    render(at(1, interrupt))
    assert pid_of(engine) == pid


def test_a_video_that_does_not_fit_is_explained(engine: Engine, tmp_path: Path) -> None:
    """Out of memory names the size, is not tried again, and leaves the engine usable."""
    huge = request().model_copy(update={"width": 16_000_000, "height": 16_000_000})
    pid = pid_of(engine)
    with pytest.raises(OutOfMemory, match="16000000x16000000 with 7 frames") as caught:
        engine.render(huge, "video_1", tmp_path, lambda _: None, threading.Event())
    assert not caught.value.retryable
    engine.render(request(), "video_1", tmp_path, lambda _: None, threading.Event())
    assert pid_of(engine) == pid


def test_any_other_error_fails_the_attempt(engine: Engine, render: Render, tmp_path: Path) -> None:
    """What the child can't do is said, may be tried again, and leaves the engine usable."""
    (tmp_path / "file").touch()
    with pytest.raises(AttemptFailed, match="NotADirectoryError") as caught:
        engine.render(
            request(), "v", tmp_path / "file" / "below", lambda _: None, threading.Event()
        )
    assert caught.value.retryable
    render()


def test_a_killed_child_is_replaced(engine: Engine, render: Render) -> None:
    """SIGKILL, as by the kernel's out-of-memory killer, costs this attempt and no more."""
    pid = pid_of(engine)
    with pytest.raises(EngineCrashed, match="ended by signal 9"):
        render(at(2, lambda: os.kill(pid, signal.SIGKILL)))
    assert not engine.ready
    assert engine.wait(START_SECONDS)
    assert pid_of(engine) != pid
    render()


def test_a_hung_child_is_replaced(engine: Engine, render: Render) -> None:
    """A child that makes no progress is killed when its time is over, and another one started."""
    pid = pid_of(engine)
    child = psutil.Process(pid)
    began: list[float] = []

    def hang() -> None:
        os.kill(pid, signal.SIGSTOP)
        began.append(time.monotonic())

    with pytest.raises(EngineCrashed, match="no progress for 5 seconds"):
        render(at(2, hang))
    assert HANG_SECONDS <= time.monotonic() - began[0] < HANG_SECONDS + 2
    assert not engine.ready
    assert child.wait(10) in (None, -signal.SIGKILL)
    assert engine.wait(START_SECONDS)
    render()


def test_an_idle_child_that_dies_is_replaced(engine: Engine, render: Render) -> None:
    """The engine notices a death between two videos without being asked."""
    group = engine._supervisor.group
    assert group is not None
    psutil.Process(pid_of(engine)).kill()
    wait_until(
        lambda: engine._supervisor.group is not group, seconds=START_SECONDS, what="its end is seen"
    )
    assert engine.wait(START_SECONDS)
    render()


def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """When the parent is killed in the middle of a long video, the child ends, busy as it is."""
    long = request(num_inference_steps=200, size="160x128", num_frames=61).model_dump_json()
    code = f"""
import pathlib, threading
from functions.shared.video.progress import Stage
from functions.generate.engine.parent.engine import Engine
from functions.shared.video.requests import ResolvedRequest

def on_progress(progress):
    if progress.stage == Stage.DENOISING and progress.done == 1:
        print(engine._supervisor.group.children[0].pid, flush=True)

engine = Engine({str(DEMO)!r}, hang_seconds=600)
engine.start()
assert engine.wait({START_SECONDS}), engine.failure
request = ResolvedRequest.model_validate_json({long!r})
engine.render(request, "v", pathlib.Path({str(tmp_path)!r}), on_progress, threading.Event())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        line = parent.stdout.readline()
        assert re.fullmatch(r"\d+\n", line)
        child = psutil.Process(int(line))
        parent.kill()
        child.wait(10)


def test_a_start_that_takes_too_long_is_given_up() -> None:
    """Its processes are ended and others follow; what was too long is said meanwhile."""
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS, load_seconds=0.1)
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        assert engine.failure.startswith("The engine was not ready after 0.1 seconds.")
    finally:
        engine.close()


def test_a_checkpoint_that_does_not_load_is_a_failure(tmp_path: Path) -> None:
    """What only loading finds out is told in one line too, and the engine never gets ready."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    config = json.loads((folder / "transformer" / "config.json").read_text())
    (folder / "transformer" / "config.json").write_text(
        json.dumps(config | {"attention_head_dim": 8})
    )
    engine = Engine(str(folder), hang_seconds=HANG_SECONDS)
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        assert engine.failure.startswith(f"{folder / 'transformer'}: the tensor ")
        assert "\n" not in engine.failure
        assert not engine.ready
    finally:
        engine.close()

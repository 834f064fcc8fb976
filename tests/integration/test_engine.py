"""The engine with the demo checkpoint: real diffusers classes in a real child process."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from functions.generate.engine.messages import EngineConfig, Progress, Rendered
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.parent.activity import EngineState, Loss
from functions.generate.engine.parent.engine import Engine
from functions.generate.engine.parent.rank_process import RankProcess
from functions.shared.errors import AttemptFailed, EngineCrashed, OutOfMemory, RenderCancelled
from functions.shared.video.progress import ENGINE_STAGES, Stage
from tests.demo_engine import (
    DEMO,
    HANG_SECONDS,
    START_SECONDS,
    at_step,
    pids_of,
    render_small,
    small_request,
)
from tests.patience import scaled, wait_until

Render = Callable[..., Rendered]


@pytest.fixture(scope="module")
def shared_engine(forked_engines: None) -> Iterator[Engine]:  # noqa: ARG001 - for its effect
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """The engine that all tests share, ready again if the previous test crashed it."""
    assert shared_engine.wait(START_SECONDS), shared_engine.failure
    return shared_engine


@pytest.fixture
def render(engine: Engine, tmp_path: Path) -> Render:
    """Renders a small video with the given settings, each time to a new folder."""
    numbers = itertools.count()

    def run(
        on_progress: Callable[[Progress], Any] = lambda _: None,
        cancelled: threading.Event | None = None,
        **settings: Any,
    ) -> Rendered:
        folder = tmp_path / str(next(numbers))
        return render_small(engine, folder, on_progress, cancelled, **settings)

    return run


def frames_of(rendered: Rendered) -> NDArray[np.uint8]:
    with av.open(str(rendered.video)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def pid_of(engine: Engine) -> int:
    (pid,) = pids_of(engine)
    return pid


def test_a_render_is_a_video_that_browsers_play(render: Render) -> None:
    """H.264, yuv420p, BT.709, the requested size, length and rate, and the index at the start."""
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


def test_a_render_reports_how_it_was_made(render: Render) -> None:
    """Size, time and peak memory of each stage, device, precision, and the model's revision."""
    rendered = render(size="96x64", num_frames=25)
    assert (rendered.width, rendered.height, rendered.frames) == (96, 64, 25)
    assert rendered.timings.keys() == set(ENGINE_STAGES)
    assert (rendered.engine.device, rendered.engine.ranks) == ("CPU", 1)
    assert (rendered.engine.attention, rendered.engine.precision) == ("flash", "float32")
    assert (rendered.engine.attention_ms or 0) > 0
    assert rendered.engine.attention_rejected == {}, "a CPU has no other kernel"
    assert rendered.engine.decoder_format == "contiguous_format"
    assert rendered.engine.decoder_ms is None, "on a CPU the format is not measured"
    assert (rendered.engine.torch, rendered.engine.threads >= 1) == (torch.__version__, True)
    if sys.platform == "linux":
        # A process with torch and diffusers takes hundreds of megabytes; the demo adds little.
        assert rendered.engine.peak_memory.keys() == set(ENGINE_STAGES)
        assert all(10e6 < peak < 4e9 for peak in rendered.engine.peak_memory.values())
    assert rendered.model_revision == locate_checkpoint(str(DEMO)).revision


def test_the_engine_tells_what_it_does_and_how_it_started(engine: Engine, render: Render) -> None:
    """Idle between videos; its start took time, and chose a kernel."""
    states: list[EngineState] = []
    before = engine.activity()
    render(at_step(2, lambda: states.append(engine.activity().state)))
    after = engine.activity()
    assert [before.state, *states, after.state] == ["idle", "rendering", "idle"]
    assert after.seconds[EngineState.RENDERING] > before.seconds[EngineState.RENDERING]
    started = after.started
    assert started is not None
    assert started.report is not None
    assert (started.report.attention, started.report.compiled) == ("flash", False)
    assert started.load_seconds > 0
    assert started.warm_up_seconds > 0
    assert started.model_revision == locate_checkpoint(str(DEMO)).revision


def test_a_render_is_not_blank(render: Render) -> None:
    """Every frame shows something, and it moves."""
    prompt = "a red circle moving right on a white background"
    frames = frames_of(render(prompt=prompt, size="96x64", num_frames=25)).astype(float)
    assert frames.std(axis=(1, 2)).max(axis=-1).min() > 20
    assert np.abs(np.diff(frames, axis=0)).mean() > 0.3


def test_metadata_tells_how_to_render_the_video_again(render: Render) -> None:
    """The file's metadata holds the prompt, the seed, and the model's revision."""
    rendered = render(prompt="a red circle", seed=77)
    with av.open(str(rendered.video)) as container:
        tags = dict(container.metadata)
    settings = json.loads(tags["comment"])
    assert tags["title"] == settings["prompt"] == "a red circle"
    assert (settings["seed"], settings["model_revision"]) == (77, rendered.model_revision)
    assert settings["video_id"] == "video_1"


def test_thumbnail_and_spritesheet_show_the_video(render: Render) -> None:
    """The thumbnail is the middle frame; the spritesheet is a grid of four columns."""
    rendered = render(size="96x64", num_frames=25)
    middle = frames_of(rendered)[12].astype(float)
    with Image.open(rendered.thumbnail) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("JPEG", (96, 64))
        assert np.abs(np.asarray(thumbnail).astype(float) - middle).mean() < 12
    with Image.open(rendered.spritesheet) as sheet:
        assert (sheet.format, sheet.size) == ("JPEG", (4 * 96, 4 * 64))


def test_the_same_seed_gives_the_same_frames(render: Render) -> None:
    """A different seed gives different frames."""
    first, second, other = render(seed=5), render(seed=5), render(seed=6)
    assert np.array_equal(frames_of(first), frames_of(second))
    assert not np.array_equal(frames_of(first), frames_of(other))


def test_prompts_and_guidance_change_the_frames(render: Render) -> None:
    """Prompt, negative prompt, and guidance scale each change the frames."""
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
    """Every prompt that the API accepts can be rendered, and is kept in the metadata."""
    assert len(text) <= 4096
    rendered = render(prompt=text, negative_prompt=text)
    assert len(frames_of(rendered)) == 7
    with av.open(str(rendered.video)) as container:
        assert json.loads(container.metadata["comment"])["prompt"] == text


def test_progress_counts_every_step(render: Render) -> None:
    """Each stage comes once and in order, starts at 0, counts by 1, and reaches its total."""
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
    """In every stage: there is no more progress, and the next render succeeds."""
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


def test_a_cancelled_render_leaves_no_video_file(engine: Engine, tmp_path: Path) -> None:
    """A video cancelled while it is being written is removed."""
    cancelled = threading.Event()

    def on_progress(progress: Progress) -> None:
        if progress.stage == Stage.DECODING and progress.done == 5:
            cancelled.set()

    with pytest.raises(RenderCancelled):
        render_small(engine, tmp_path, on_progress, cancelled)
    assert not list(tmp_path.glob("*.mp4"))


def test_an_exception_in_the_callback_is_raised(render: Render) -> None:
    """An exception in the caller's callback stops the render, and the next render succeeds."""
    seen: list[Progress] = []

    def on_progress(progress: Progress) -> None:
        seen.append(progress)
        raise KeyError(progress.done)

    with pytest.raises(KeyError):
        render(on_progress)
    assert len(seen) == 1
    render()


def test_one_render_at_a_time(render: Render) -> None:
    """A concurrent render is refused, and does not disturb the first one."""
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(RuntimeError) as caught:
            render()
        refused.append(str(caught.value))

    render(at_step(2, second))
    assert refused == ["the engine is rendering another video"]


def test_terminal_signals_do_not_stop_a_video(engine: Engine, render: Render) -> None:
    """Ctrl-C and SIGTERM reach the whole process group; the child ignores them."""
    pid = pid_of(engine)

    def interrupt() -> None:
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)

    render(at_step(1, interrupt))
    assert pid_of(engine) == pid


def test_out_of_memory_names_the_size(engine: Engine, tmp_path: Path) -> None:
    """It is not retryable, and leaves the engine usable."""
    huge = small_request().model_copy(update={"width": 16_000_000, "height": 16_000_000})
    pid = pid_of(engine)
    with pytest.raises(OutOfMemory, match="16000000x16000000 with 7 frames") as caught:
        engine.render(huge, "video_1", tmp_path, lambda _: None, threading.Event())
    assert not caught.value.retryable
    render_small(engine, tmp_path)
    assert pid_of(engine) == pid


def test_any_other_error_fails_the_attempt(engine: Engine, tmp_path: Path) -> None:
    """An unexpected error in the child is reported, is retryable, and leaves the engine usable."""
    (tmp_path / "file").touch()
    with pytest.raises(AttemptFailed, match="NotADirectoryError") as caught:
        render_small(engine, tmp_path / "file" / "below")
    assert caught.value.retryable
    render_small(engine, tmp_path)


def test_a_killed_child_is_replaced(engine: Engine, render: Render) -> None:
    """SIGKILL, as from the kernel's out-of-memory killer, costs only this attempt."""
    pid, before = pid_of(engine), engine.activity().restarts
    with pytest.raises(EngineCrashed, match="killed by signal 9"):
        render(at_step(2, lambda: os.kill(pid, signal.SIGKILL)))
    assert not engine.ready
    assert engine.activity().state is EngineState.STARTING
    assert engine.wait(START_SECONDS)
    assert pid_of(engine) != pid
    assert engine.activity().restarts == {**before, Loss.EXITED: before[Loss.EXITED] + 1}
    render()


def test_every_thread_is_told_how_a_child_exited(engine: Engine, tmp_path: Path) -> None:
    """Also when several ask at once, of whom multiprocessing would give only one the right code."""
    del engine  # its processes are forked, and so are these
    config = EngineConfig("no/such/folder", ranks=1, compiled=None, warm_up=())
    for number in range(10):
        process = RankProcess(config, 0, tmp_path / str(number))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with ThreadPoolExecutor(8) as pool:
            told = [pool.submit(process.exit_description) for _ in range(8)]
            assert {one.result() for one in told} == {"An engine process was killed by signal 9."}
        process.join()


def test_a_hung_child_is_replaced(engine: Engine, render: Render) -> None:
    """A child that makes no progress is killed after `hang_seconds` and replaced."""
    pid, before = pid_of(engine), engine.activity().restarts
    child = psutil.Process(pid)
    stopped_at: list[float] = []

    def hang() -> None:
        os.kill(pid, signal.SIGSTOP)
        stopped_at.append(time.monotonic())

    with pytest.raises(EngineCrashed, match="no progress for 5 seconds"):
        render(at_step(2, hang))
    assert time.monotonic() - stopped_at[0] >= HANG_SECONDS
    assert not engine.ready
    assert child.wait(scaled(10)) in (None, -signal.SIGKILL)
    assert engine.wait(START_SECONDS)
    assert engine.activity().restarts == {**before, Loss.HUNG: before[Loss.HUNG] + 1}
    render()


def test_an_idle_child_that_dies_is_replaced(engine: Engine, render: Render) -> None:
    """The engine notices when its child dies between two renders."""
    before = engine.activity().restarts
    group = engine._supervisor.group
    psutil.Process(pid_of(engine)).kill()
    wait_until(
        lambda: engine._supervisor.group is not group,
        seconds=START_SECONDS,
        what="the dead group was discarded",
    )
    assert engine.wait(START_SECONDS)
    assert engine.activity().restarts == {**before, Loss.EXITED: before[Loss.EXITED] + 1}
    render()

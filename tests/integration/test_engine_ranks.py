"""Two processes that make one video together, and what becomes of the other when one fails."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from functions.generate.engine.messages import Progress, Rendered
from functions.generate.engine.parent.engine import Engine
from functions.shared.errors import DeadlineExceeded, EngineCrashed, RenderCancelled
from functions.shared.video.profiles import load_profile
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from tests.two_ranks import DEMO

# Far longer than a step of the demo takes, even on a busy machine.
HANG_SECONDS = 5
START_SECONDS = 120

Render = Callable[..., bytes]


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Engine]:
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS, ranks=2)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def pair(shared_pair: Engine) -> Engine:
    """An engine of two ranks, ready again if the test before made it crash."""
    assert shared_pair.wait(START_SECONDS), shared_pair.failure
    assert len(pids(shared_pair)) == 2
    return shared_pair


@pytest.fixture
def render(pair: Engine, tmp_path: Path) -> Render:
    """The bytes of the video that the arguments ask for."""

    def run(
        on_progress: Callable[[Progress], Any] = lambda _: None,
        cancelled: threading.Event | None = None,
        **asked: Any,
    ) -> bytes:
        return video(pair, tmp_path, on_progress, cancelled or threading.Event(), **asked)

    return run


def video(
    engine: Engine,
    folder: Path,
    on_progress: Callable[[Progress], Any] = lambda _: None,
    cancelled: threading.Event | None = None,
    **asked: Any,
) -> bytes:
    small = {"prompt": "a red circle", "size": "32x32", "num_frames": 7, "num_inference_steps": 6}
    request = ResolvedRequest.resolve(
        VideoRequest.model_validate(small | {"seed": 1} | asked), load_profile("demo"), "a", "v"
    )
    made: Rendered = engine.render(
        request, "v", folder, on_progress, cancelled or threading.Event()
    )
    assert made.engine.ranks == len(pids(engine))
    return made.video.read_bytes()


def pids(engine: Engine) -> list[int]:
    assert engine._supervisor.group is not None
    return [child.pid or 0 for child in engine._supervisor.group.children]


def at(step: int, act: Callable[[], Any]) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if (progress.stage, progress.done) == (Stage.DENOISING, step):
            act()

    return on_progress


def test_a_seed_makes_one_video_however_many_make_it(render: Render, tmp_path: Path) -> None:
    """One process and two make the same file: with guidance, without, and for another text."""
    alone = Engine(str(DEMO), hang_seconds=HANG_SECONDS, ranks=1)
    alone.start()
    try:
        assert alone.wait(START_SECONDS), alone.failure
        for asked in ({}, {"guidance_scale": 1.0}, {"negative_prompt": "slow sea"}):
            assert render(**asked) == video(alone, tmp_path / "alone", **asked), asked
    finally:
        alone.close()


def test_cancelling_leaves_no_rank_behind(pair: Engine, render: Render) -> None:
    """Ten times in a row, at every step; the same processes then make the right video."""
    before, expected = pids(pair), render()
    for time in range(10):
        cancelled = threading.Event()
        seen: list[Progress] = []

        def on_progress(
            progress: Progress,
            seen: list[Progress] = seen,
            cancelled: threading.Event = cancelled,
            step: int = time % 6,
        ) -> None:
            seen.append(progress)
            if (progress.stage, progress.done) == (Stage.DENOISING, step):
                cancelled.set()

        with pytest.raises(RenderCancelled):
            render(on_progress, cancelled)
        assert (seen[-1].stage, seen[-1].done) == (Stage.DENOISING, time % 6)
    assert render() == expected
    assert pids(pair) == before


def test_a_video_that_takes_too_long_ends_on_every_rank(
    pair: Engine, render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its next step, for good, and the processes go on."""
    before, expected = pids(pair), render()
    with monkeypatch.context() as patched:
        patched.setattr(pair, "_render_seconds", 0.0)
        with pytest.raises(DeadlineExceeded) as caught:
            render()
    assert not caught.value.retryable
    assert render() == expected
    assert pids(pair) == before


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_is_the_end_of_all_and_all_come_back(
    pair: Engine, render: Render, rank: int
) -> None:
    """The attempt may be repeated, no process is left, and the next video is right."""
    expected, before = render(), pids(pair)
    processes = [psutil.Process(pid) for pid in before]
    with pytest.raises(EngineCrashed, match="ended by signal 9") as caught:
        render(at(2, lambda: os.kill(before[rank], signal.SIGKILL)))
    assert caught.value.retryable
    _, alive = psutil.wait_procs(processes, 10)
    assert not alive
    assert pair.wait(START_SECONDS)
    assert not set(pids(pair)) & set(before)
    assert render() == expected


def test_a_hung_rank_is_the_end_of_all(pair: Engine, render: Render) -> None:
    """A second rank that stands still keeps the first from its next step; all are replaced."""
    expected, before = render(), pids(pair)
    processes = [psutil.Process(pid) for pid in before]
    with pytest.raises(EngineCrashed, match="no progress for 5 seconds"):
        render(at(2, lambda: os.kill(before[1], signal.SIGSTOP)))
    _, alive = psutil.wait_procs(processes, 10)
    assert not alive
    assert pair.wait(START_SECONDS)
    assert render() == expected


def test_ranks_are_reached_from_this_machine_only(pair: Engine) -> None:
    """What they listen on is an address of the loopback device."""
    listening = [
        connection.laddr.ip
        for pid in pids(pair)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_a_checkpoint_that_no_rank_can_load_is_one_clear_line(tmp_path: Path) -> None:
    """The line names the file and the tensor; no rank waits for one that never comes."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps(config | {"latent_channels": 6}))
    engine = Engine(str(folder), hang_seconds=HANG_SECONDS, ranks=2)
    before = _ranks()
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        assert engine.failure.startswith(f"{folder / 'vae'}: the tensor encoder.proj_out.weight ")
        assert "\n" not in engine.failure
        _, alive = psutil.wait_procs(_ranks() - before, 10)
        assert not alive
    finally:
        engine.close()


def _ranks() -> set[psutil.Process]:
    """The processes that this one has spawned."""
    children = [c for c in psutil.Process().children() if c.status() != psutil.STATUS_ZOMBIE]
    return {child for child in children if "spawn_main" in " ".join(child.cmdline())}


def test_closing_leaves_nothing(shared_pair: Engine) -> None:
    """No process, no port, and no file where the ranks met."""
    assert shared_pair.wait(START_SECONDS)
    processes = [psutil.Process(pid) for pid in pids(shared_pair)]
    assert shared_pair._supervisor.group is not None
    folder = Path(shared_pair._supervisor.group._folder.name)
    assert folder.is_relative_to(tempfile.gettempdir())
    assert folder.stat().st_mode & 0o077 == 0
    shared_pair.close()
    assert not [process for process in processes if process.is_running()]
    assert not folder.exists()

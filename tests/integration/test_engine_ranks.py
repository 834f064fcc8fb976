"""Two ranks that render a video together, and what happens to one when the other fails."""

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

from functions.generate.engine.messages import Progress
from functions.generate.engine.parent.engine import Engine
from functions.shared.errors import DeadlineExceeded, EngineCrashed, RenderCancelled
from functions.shared.video.progress import Stage
from tests import two_ranks
from tests.demo_engine import DEMO, HANG_SECONDS, START_SECONDS, at_step, pids_of, render_small
from tests.forked_engines import forked_processes
from tests.patience import scaled

RenderBytes = Callable[..., bytes]


@pytest.fixture(scope="module")
def shared_pair(forked_engines: None) -> Iterator[Engine]:  # noqa: ARG001 - for its effect
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS, ranks=2)
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def pair(shared_pair: Engine) -> Engine:
    """An engine with two ranks, ready again if the previous test crashed it."""
    assert shared_pair.wait(START_SECONDS), shared_pair.failure
    assert len(pids_of(shared_pair)) == 2
    return shared_pair


@pytest.fixture
def render(pair: Engine, tmp_path: Path) -> RenderBytes:
    """Renders a small video with the given settings, and returns the file's bytes."""

    def run(
        on_progress: Callable[[Progress], Any] = lambda _: None,
        cancelled: threading.Event | None = None,
        **settings: Any,
    ) -> bytes:
        rendered = render_small(pair, tmp_path, on_progress, cancelled, **settings)
        assert rendered.engine.ranks == 2
        return rendered.video.read_bytes()

    return run


def test_one_rank_and_two_give_the_same_file(render: RenderBytes, tmp_path: Path) -> None:
    """With guidance, without it, and with a negative prompt."""
    single = Engine(str(DEMO), hang_seconds=HANG_SECONDS, ranks=1)
    single.start()
    try:
        assert single.wait(START_SECONDS), single.failure
        for settings in ({}, {"guidance_scale": 1.0}, {"negative_prompt": "slow sea"}):
            rendered = render_small(single, tmp_path / "single", **settings)
            assert rendered.engine.ranks == 1
            assert render(**settings) == rendered.video.read_bytes(), settings
    finally:
        single.close()


def test_cancelling_leaves_no_rank_behind(pair: Engine, render: RenderBytes) -> None:
    """Ten times in a row, at every step; the same processes then render the right video."""
    pids, expected = pids_of(pair), render()
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
    assert pids_of(pair) == pids


def test_a_deadline_stops_every_rank(
    pair: Engine, render: RenderBytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next step; the video is not retried, and the processes keep running."""
    pids, expected = pids_of(pair), render()
    with monkeypatch.context() as patched:
        patched.setattr(pair, "_render_seconds", 0.0)
        with pytest.raises(DeadlineExceeded) as caught:
            render()
    assert not caught.value.retryable
    assert render() == expected
    assert pids_of(pair) == pids


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_restarts_all_ranks(pair: Engine, render: RenderBytes, rank: int) -> None:
    """The attempt is retryable, no process is left behind, and the next video is right."""
    expected, pids = render(), pids_of(pair)
    processes = [psutil.Process(pid) for pid in pids]
    with pytest.raises(EngineCrashed, match="killed by signal 9") as caught:
        render(at_step(2, lambda: os.kill(pids[rank], signal.SIGKILL)))
    assert caught.value.retryable
    _, alive = psutil.wait_procs(processes, scaled(10))
    assert not alive
    assert pair.wait(START_SECONDS)
    assert not set(pids_of(pair)) & set(pids)
    assert render() == expected


def test_a_hung_rank_restarts_all_ranks(pair: Engine, render: RenderBytes) -> None:
    """A stopped peer blocks rank 0 at its next step; both are replaced."""
    expected, pids = render(), pids_of(pair)
    processes = [psutil.Process(pid) for pid in pids]
    with pytest.raises(EngineCrashed, match="no progress for 5 seconds"):
        render(at_step(2, lambda: os.kill(pids[1], signal.SIGSTOP)))
    _, alive = psutil.wait_procs(processes, scaled(10))
    assert not alive
    assert pair.wait(START_SECONDS)
    assert render() == expected


def test_ranks_listen_on_loopback_only(pair: Engine) -> None:
    """Other machines can't connect to a rank."""
    listening = [
        connection.laddr.ip
        for pid in pids_of(pair)
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) <= {"127.0.0.1", "::1"}


def test_ranks_fail_together(tmp_path: Path) -> None:
    """When one rank fails, the other one learns of it; neither waits, and both can continue."""
    failures = [(1, "memory"), (0, "cancelled"), (1, "other")]
    two_ranks.run(two_ranks.save_outcomes, failures, tmp_path)
    gathered = "[[0, 0], [1, 1]]"
    first = ["MemoryError", "RenderCancelled", "PeerFailed", gathered]
    second = ["OutOfMemoryError", "RenderCancelled", "ValueError", gathered]
    assert (tmp_path / "outcomes-0").read_text().splitlines() == first
    assert (tmp_path / "outcomes-1").read_text().splitlines() == second


@pytest.mark.usefixtures("forked_engines")
def test_a_checkpoint_that_no_rank_can_load_is_a_failure(tmp_path: Path) -> None:
    """One line names the file and the tensor, and no rank waits for another that failed."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    config = json.loads((folder / "vae" / "config.json").read_text())
    (folder / "vae" / "config.json").write_text(json.dumps(config | {"latent_channels": 6}))
    engine = Engine(str(folder), hang_seconds=HANG_SECONDS, ranks=2)
    before = forked_processes()
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        assert engine.failure.startswith(f"{folder / 'vae'}: the tensor encoder.proj_out.weight ")
        assert "\n" not in engine.failure
        _, alive = psutil.wait_procs(forked_processes() - before, scaled(10))
        assert not alive
    finally:
        engine.close()


def test_closing_leaves_nothing_behind(shared_pair: Engine) -> None:
    """No process, no port, and no folder in which the ranks met."""
    assert shared_pair.wait(START_SECONDS)
    processes = [psutil.Process(pid) for pid in pids_of(shared_pair)]
    assert shared_pair._supervisor.group is not None
    scratch = shared_pair._supervisor.group._scratch.path
    assert scratch.is_relative_to(tempfile.gettempdir())
    assert scratch.stat().st_mode & 0o077 == 0
    shared_pair.close()
    assert not [process for process in processes if process.is_running()]
    assert not scratch.exists()

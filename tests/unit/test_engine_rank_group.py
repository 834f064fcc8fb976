"""A group of ranks, as the parent sees it: whose messages count, and when it times out."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.generate.engine.messages import (
    EngineConfig,
    Progress,
    RankFinished,
    RenderFailed,
    RenderJob,
)
from functions.generate.engine.parent import rank_group
from functions.generate.engine.parent.rank_group import RankGroup
from functions.generate.engine.parent.rank_process import RankLost
from functions.shared.errors import OutOfMemory
from functions.shared.video.profiles import load_profile
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest, VideoRequest

CONFIG = EngineConfig("unused", ranks=2, compiled=None, warm_up=())
REQUEST = ResolvedRequest.resolve(VideoRequest(prompt="x"), load_profile("demo"), "a", "v")
# Short, to keep the tests fast, and far longer than a message takes.
PEER_TIMEOUT_SECONDS = 0.5


class _ScriptedRank:
    """Replaces `RankProcess`: sends the messages that a test gives it, and exits when killed."""

    def __init__(self, _config: EngineConfig, _rank: int, _rendezvous: Path) -> None:
        self.connection, self.child_connection = multiprocessing.Pipe()
        self.sentinel, self._closed_on_exit = os.pipe()
        self._alive = True

    @property
    def wait_objects(self) -> list[Any]:
        return [self.connection, self.sentinel]

    def send_message(self, message: Any) -> None:
        self.connection.send(message)

    def receive_message(self) -> Any:
        if not self.connection.poll():
            raise RankLost(self.exit_description())
        return self.connection.recv()

    def exit_description(self) -> str:
        return "It was killed."

    def kill(self) -> None:
        if self._alive:
            self._alive = False
            os.close(self._closed_on_exit)

    def join(self) -> None:
        self.connection.close()
        self.child_connection.close()
        os.close(self.sentinel)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[RankGroup]:
    """Two ranks with a job in flight."""
    monkeypatch.setattr(rank_group, "RankProcess", _ScriptedRank)
    monkeypatch.setattr(rank_group, "PEER_TIMEOUT_SECONDS", PEER_TIMEOUT_SECONDS)
    group = RankGroup(CONFIG)
    group.send_job(RenderJob(REQUEST, "v", Path("unused")))
    yield group
    group.kill()
    group.join()


def send_from(pair: RankGroup, rank: int, message: Any) -> None:
    """Send a message from a rank to the parent."""
    process: Any = pair.processes[rank]
    process.child_connection.send(message)


def test_rank_0_speaks_for_the_group(pair: RankGroup, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its progress is returned at once; its last message, when its peer has finished too."""
    # On a busy machine the peer's message comes late.
    monkeypatch.setattr(rank_group, "PEER_TIMEOUT_SECONDS", 60)
    step, failed = Progress(Stage.DENOISING, 1, 2), RenderFailed(OutOfMemory())
    send_from(pair, 0, step)
    assert pair.next_message(timeout=60) == step
    send_from(pair, 0, failed)
    later = threading.Timer(PEER_TIMEOUT_SECONDS / 5, send_from, [pair, 1, RankFinished()])
    started = time.monotonic()
    later.start()
    assert isinstance(pair.next_message(timeout=60), RenderFailed)
    assert time.monotonic() - started >= PEER_TIMEOUT_SECONDS / 5
    later.join()


def test_a_peer_that_does_not_finish_times_out(pair: RankGroup) -> None:
    """Once rank 0 has finished, a silent peer is waited for no longer than a step may take."""
    send_from(pair, 0, RenderFailed(OutOfMemory()))
    started = time.monotonic()
    with pytest.raises(RankLost, match=r"no progress for 0\.5 seconds"):
        pair.next_message(timeout=60)
    assert time.monotonic() - started >= PEER_TIMEOUT_SECONDS


def test_a_peer_that_failed_alone_times_the_group_out(pair: RankGroup) -> None:
    """Rank 0 waits for the failed peer, but the parent does not wait as long as for a hang."""
    send_from(pair, 1, RenderFailed(OutOfMemory()))
    started = time.monotonic()
    with pytest.raises(RankLost, match=r"no progress for 0\.5 seconds"):
        pair.next_message(timeout=60)
    assert time.monotonic() - started >= PEER_TIMEOUT_SECONDS


def test_loading_times_out(pair: RankGroup) -> None:
    """A rank that waits for a connection that never comes would hold its GPU forever."""
    interrupt, _keep = multiprocessing.Pipe(duplex=False)
    with pytest.raises(RankLost, match=r"not ready after 0\.2 seconds"):
        pair.wait_until_loaded(interrupt, 0.2)


def test_a_silent_rank_0_is_hung(pair: RankGroup) -> None:
    """No rank sends a message for as long as a step may take."""
    with pytest.raises(RankLost, match=r"no progress for 0\.2 seconds"):
        pair.next_message(timeout=0.2)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_exit_of_one_rank_fails_the_group(pair: RankGroup, rank: int) -> None:
    """A rank that dies during a render fails it at once, and the error describes its exit."""
    pair.processes[rank].kill()
    with pytest.raises(RankLost, match="It was killed"):
        pair.next_message(timeout=60)

"""A group of ranks as its parent hears it: what one says, and how long the others may be silent."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.generate.engine.messages import Failed, Finished, Order, Plan, Progress
from functions.generate.engine.parent import group
from functions.generate.engine.parent.group import WorkerGroup
from functions.generate.engine.parent.spawned import ChildGone
from functions.shared.errors import OutOfMemory
from functions.shared.video.profiles import load_profile
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest, VideoRequest

PLAN = Plan("unused", ranks=2, compiled=None, warm_up=())
REQUEST = ResolvedRequest.resolve(VideoRequest(prompt="x"), load_profile("demo"), "a", "v")
# Short, so that the tests are, and far longer than a pipe takes.
PEER_SECONDS = 0.5


class _ScriptedChild:
    """Says what a test has it say, and ends when told; else like `SpawnedChild`."""

    def __init__(self, _plan: Plan, _rank: int, _folder: Path) -> None:
        self.connection, self.mouth = multiprocessing.Pipe()
        self.sentinel, self._life = os.pipe()
        self._alive = True

    @property
    def news(self) -> list[Any]:
        return [self.connection, self.sentinel]

    def send(self, message: Any) -> None:
        self.connection.send(message)

    def read(self) -> Any:
        if not self.connection.poll():
            raise ChildGone(self.obituary())
        return self.connection.recv()

    def obituary(self) -> str:
        return "It was ended."

    def end(self) -> None:
        if self._alive:
            self._alive = False
            os.close(self._life)

    def join(self) -> None:
        self.connection.close()
        self.mouth.close()
        os.close(self.sentinel)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerGroup]:
    """Two ranks that have been given an order."""
    monkeypatch.setattr(group, "SpawnedChild", _ScriptedChild)
    monkeypatch.setattr(group, "PEER_SECONDS", PEER_SECONDS)
    two = WorkerGroup(PLAN)
    two.begin(Order(REQUEST, "v", Path("unused")))
    yield two
    two.end()
    two.join()


def say(pair: WorkerGroup, rank: int, message: Any) -> None:
    """Let a rank say something."""
    child: Any = pair.children[rank]
    child.mouth.send(message)


def test_the_first_rank_speaks_for_all(pair: WorkerGroup) -> None:
    """Its progress is told at once, and its last word when the other has finished too."""
    step, failed = Progress(Stage.DENOISING, 1, 2), Failed(OutOfMemory())
    say(pair, 0, step)
    assert pair.receive(timeout=60) == step
    say(pair, 0, failed)
    later = threading.Timer(PEER_SECONDS / 5, say, [pair, 1, Finished()])
    began = time.monotonic()
    later.start()
    assert isinstance(pair.receive(timeout=60), Failed)
    assert time.monotonic() - began >= PEER_SECONDS / 5
    later.join()


def test_a_rank_that_does_not_finish_is_not_waited_for_longer_than_a_step(
    pair: WorkerGroup,
) -> None:
    """The first has ended the video, and the other says nothing more: the group is given up."""
    say(pair, 0, Failed(OutOfMemory()))
    began = time.monotonic()
    with pytest.raises(ChildGone, match=r"no progress for 0\.5 seconds"):
        pair.receive(timeout=60)
    assert PEER_SECONDS <= time.monotonic() - began < 10


def test_a_failure_that_the_first_rank_was_not_told_of_ends_the_group(pair: WorkerGroup) -> None:
    """The other failed alone, and the first waits for it: not for as long as for a hung kernel."""
    say(pair, 1, Failed(OutOfMemory()))
    began = time.monotonic()
    with pytest.raises(ChildGone, match=r"no progress for 0\.5 seconds"):
        pair.receive(timeout=60)
    assert PEER_SECONDS <= time.monotonic() - began < 10


def test_loading_takes_no_longer_than_it_may(pair: WorkerGroup) -> None:
    """A rank that waits for a connection that never comes would hold its GPU for ever."""
    interrupt, _keep = multiprocessing.Pipe(duplex=False)
    with pytest.raises(ChildGone, match=r"not ready after 0\.2 seconds"):
        pair.wait_until_loaded(interrupt, 0.2)


def test_a_silent_first_rank_is_hung(pair: WorkerGroup) -> None:
    """Nothing is heard of anybody for as long as a step may take."""
    with pytest.raises(ChildGone, match=r"no progress for 0\.2 seconds"):
        pair.receive(timeout=0.2)


@pytest.mark.parametrize("rank", [0, 1])
def test_the_end_of_one_is_the_end_of_all(pair: WorkerGroup, rank: int) -> None:
    """A rank that dies in the middle ends the video at once, with its own reason."""
    pair.children[rank].end()
    with pytest.raises(ChildGone, match="It was ended"):
        pair.receive(timeout=60)

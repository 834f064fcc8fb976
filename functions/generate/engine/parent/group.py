"""The parent's end of all processes of an engine: they live together and die together."""

from __future__ import annotations

import tempfile
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from functions.generate.engine.messages import (
    Failed,
    Finished,
    NotLoaded,
    Order,
    Plan,
    Progress,
    Rendered,
    Verdict,
)
from functions.generate.engine.parent.spawned import ChildGone, SpawnedChild

# Ranks that compute together end together, a step apart at most; this is for one that failed where
# it could not tell the others, who wait for it.
PEER_SECONDS: Final = 10.0


class NotLoadable(Exception):
    """Why a child can't load the model, in one line."""


class WorkerGroup:
    """The started processes of `plan`.

    A process that ends, or that its parent waits for too long, is the end of all of them.
    """

    def __init__(self, plan: Plan) -> None:
        # Where the ranks meet: a file that only this user can see, and no port.
        self._folder = tempfile.TemporaryDirectory(prefix="kinora-engine-")
        self.children: list[SpawnedChild] = []
        try:
            for rank in range(plan.ranks):
                self.children.append(SpawnedChild(plan, rank, Path(self._folder.name)))
        except OSError:  # no memory or no number for another process
            self.end()
            self.join()
            raise
        self._first, *self._others = self.children
        self._working: list[SpawnedChild] = []

    @property
    def sentinels(self) -> list[int]:
        """Each becomes readable when its child ends."""
        return [child.sentinel for child in self.children]

    def wait_until_loaded(self, interrupt: Connection, timeout: float) -> bool:
        """Wait for all children; False if `interrupt` becomes readable before.

        Raises:
            NotLoadable: one of them can't load the model.
            ChildGone: one of them has ended, or is not ready after `timeout` seconds.
        """
        loading, deadline = list(self.children), time.monotonic() + timeout
        while loading:
            news = [thing for child in loading for thing in child.news]
            ready = wait([interrupt, *news], max(0.0, deadline - time.monotonic()))
            if interrupt in ready:
                return False
            if not ready:
                raise ChildGone(f"The engine was not ready after {timeout:g} seconds.")
            for child in [child for child in loading if set(child.news) & set(ready)]:
                message = child.read()
                if isinstance(message, NotLoaded):
                    raise NotLoadable(message.reason)
                loading.remove(child)
        return True

    def begin(self, order: Order) -> None:
        """Give all children an order.

        Raises:
            ChildGone: one of them has ended.
        """
        self._working = list(self._others)
        for child in self.children:
            child.send(order)

    def answer(self, verdict: Verdict) -> None:
        """Answer the first rank's progress.

        Raises:
            ChildGone: it has ended.
        """
        self._first.send(verdict)

    def receive(self, *, timeout: float) -> Progress | Rendered | Failed:
        """What the first rank says next. Its last word comes when all others have finished too.

        Raises:
            ChildGone: a child has ended, or the first rank said nothing for `timeout` seconds.
        """
        message = self._next_of_first(timeout)
        if isinstance(message, Progress):
            return message
        deadline = time.monotonic() + PEER_SECONDS
        while self._working:
            # A rank that was killed takes others down in its own way; its end is the reason.
            self._hear(self._wait([], deadline, PEER_SECONDS))
        return message

    def obituary(self) -> str:
        """How the children ended, the first of which must be about to."""
        ended = [child for child in self.children if wait([child.sentinel], 0)]
        return (ended or self.children)[0].obituary()

    def end(self) -> None:
        """Kill all children."""
        for child in self.children:
            child.end()

    def join(self) -> None:
        """Wait until all children have ended, and remove what they leave behind."""
        for child in self.children:
            child.join()
        self._folder.cleanup()

    def _next_of_first(self, timeout: float) -> Progress | Rendered | Failed:
        seconds, deadline = timeout, time.monotonic() + timeout
        while True:
            ready = self._wait(self._first.news, deadline, seconds)
            if self._hear(ready) and deadline - time.monotonic() > PEER_SECONDS:
                seconds, deadline = PEER_SECONDS, time.monotonic() + PEER_SECONDS
            if set(self._first.news) & set(ready):
                message: Progress | Rendered | Failed = self._first.read()
                return message

    def _wait(
        self, news: list[Connection | int], deadline: float, seconds: float
    ) -> list[Connection | int]:
        others = [child.connection for child in self._working]
        sentinels = [child.sentinel for child in self._others]
        ready = wait([*news, *others, *sentinels], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise ChildGone(
                f"The engine made no progress for {seconds:g} seconds and was restarted."
            )
        return [thing for thing in ready if isinstance(thing, Connection | int)]

    def _hear(self, ready: list[Connection | int]) -> bool:
        """Take note of what others than the first rank say; whether one of them failed.

        Raises:
            ChildGone: one of them has ended.
        """
        failed = False
        for child in self._others:
            if child.sentinel in ready:
                raise ChildGone(child.obituary())
            if child.connection in ready:
                message: Finished | Failed = child.read()
                self._working.remove(child)
                failed = failed or isinstance(message, Failed)
        return failed

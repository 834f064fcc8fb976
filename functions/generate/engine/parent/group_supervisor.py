"""Keeps a group of workers alive, whatever happens to its processes."""

from __future__ import annotations

import logging
import multiprocessing
import subprocess
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Final

from functions.generate.engine.messages import Plan
from functions.generate.engine.parent.devices import TooManyRanks
from functions.generate.engine.parent.group import NotLoadable, WorkerGroup
from functions.generate.engine.parent.spawned import ChildGone
from functions.shared.backoff import Backoff

# Seconds before a child that died while loading is tried again, doubled each time: it may have been
# killed for memory that is free again later, and should not keep the machine busy until then.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0

_log = logging.getLogger(__name__)


class GroupSupervisor:
    """Starts a group, waits until it has loaded, and starts another one whenever it ends.

    Args:
        model: what failures name.
        plan: called for each group: what it loads, and with how many processes.
        load_seconds: how long a group may take until it is ready.
        on_not_loadable: called, on another thread, if the model can't be loaded here at all, after
            the log has said why. Nothing more is tried.
    """

    def __init__(
        self,
        model: str,
        plan: Callable[[], Plan],
        load_seconds: float,
        on_not_loadable: Callable[[], None],
    ) -> None:
        self._model = model
        self._plan = plan
        self._load_seconds = load_seconds
        self._on_not_loadable = on_not_loadable
        self._changed = threading.Condition()  # guards the next three
        self._group: WorkerGroup | None = None  # only while it is ready
        self._failure: str | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._wake, self._waker = multiprocessing.Pipe(duplex=False)

    @property
    def group(self) -> WorkerGroup | None:
        """The group that has loaded the model and is idle or at work; None while there is none."""
        with self._changed:
            return self._group

    @property
    def failure(self) -> str | None:
        """One line that says why the model could not be loaded; None while there is hope.

        After a crash while loading, another group is on its way, and this turns None when that is
        ready. A checkpoint that can't be loaded is the end.
        """
        with self._changed:
            return self._failure

    def start(self) -> None:
        """Start the first group and return; loading goes on in the background. Once is enough.

        Raises:
            RuntimeError: it was closed.
        """
        with self._changed:
            if self._closing.is_set():
                raise RuntimeError("the engine is closed")
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._supervise, name="engine-supervisor", daemon=True
                )
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Block for up to `seconds` until there is a group or a failure; return if a group."""
        with self._changed:
            self._changed.wait_for(lambda: self._group or self._failure, seconds)
            return self._group is not None

    def give_up(self, group: WorkerGroup) -> None:
        """End `group`, if it has not ended yet; another one follows."""
        with self._changed:
            if self._group is group:
                self._group = None
                self._changed.notify_all()
        group.end()

    def close(self) -> None:
        """End the group and start no other. Closing twice does nothing."""
        with self._changed:
            if self._closing.is_set():
                return
            self._closing.set()
            self._group = None
            thread = self._thread
        self._waker.close()  # makes the other end readable, for good
        if thread is not None:
            thread.join()

    def _supervise(self) -> None:
        """Keep a group alive until `close`."""
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._closing.is_set():
            try:
                self._live()
                backoff.reset()
            except (NotLoadable, TooManyRanks) as error:
                self._fail(str(error))
                self._on_not_loadable()
                return
            except (ChildGone, OSError, subprocess.CalledProcessError) as error:
                self._fail(f"{error} It was to load {self._model}.")
                self._closing.wait(next(backoff))

    def _live(self) -> None:
        """The life of one group: it is started, loads, and works until it ends or `close` comes."""
        group = WorkerGroup(self._plan())
        try:
            if not group.wait_until_loaded(self._wake, self._load_seconds):
                return
            with self._changed:
                self._group, self._failure = group, None
                self._changed.notify_all()
            wait([*group.sentinels, self._wake])
            if not self._closing.is_set():
                _log.warning("%s Starting another one.", group.obituary())
        finally:
            self.give_up(group)
            group.join()

    def _fail(self, reason: str) -> None:
        _log.error("engine: %s", reason)
        with self._changed:
            self._failure = reason
            self._changed.notify_all()

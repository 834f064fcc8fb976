"""Keeps a group of ranks running: starts it, watches it, and restarts it when it is lost."""

from __future__ import annotations

import logging
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Final

from functions.generate.engine.messages import EngineConfig
from functions.generate.engine.parent.activity import ActivityRecord, EngineState, Loss
from functions.generate.engine.parent.rank_count import TooManyRanks
from functions.generate.engine.parent.rank_group import ModelLoadError, RankGroup
from functions.generate.engine.parent.rank_process import RankLost
from functions.shared.backoff import Backoff

# Seconds between retries after a process died while loading. It may have been killed for lack of
# memory, which may become free later; until then, retries should not keep the machine busy.
FIRST_BACKOFF_SECONDS: Final = 1.0
LONGEST_BACKOFF_SECONDS: Final = 30.0

_log = logging.getLogger(__name__)


class GroupSupervisor:
    """Starts a group of ranks, waits until it has loaded, and replaces it whenever it is lost.

    Args:
        model: the model's name, for error messages.
        configure: called before each start; returns what the group is started with.
        load_seconds: how long a group may take until it is ready.
        on_load_failure: called on another thread if the model can't be loaded here at all, after
            the reason has been logged. There are no retries after that.
        activity: is told of starts and losses.
    """

    def __init__(
        self,
        model: str,
        configure: Callable[[], EngineConfig],
        load_seconds: float,
        on_load_failure: Callable[[], None],
        activity: ActivityRecord | None = None,
    ) -> None:
        self._model = model
        self._configure = configure
        self._load_seconds = load_seconds
        self._on_load_failure = on_load_failure
        self._activity = activity or ActivityRecord()
        self._changed = threading.Condition()  # guards the next three
        self._group: RankGroup | None = None  # only while it is ready
        self._failure: str | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        # Closing the second end makes the first one readable, which interrupts a wait.
        self._close_signal, self._close_sender = multiprocessing.Pipe(duplex=False)

    @property
    def group(self) -> RankGroup | None:
        """The group that has loaded the model, idle or busy; None if there is none."""
        with self._changed:
            return self._group

    @property
    def failure(self) -> str | None:
        """Why the model is not loaded, in one line; None unless loading has failed.

        After a crash while loading, this is reset once the next group is ready. For a checkpoint
        that can't be loaded, it is final.
        """
        with self._changed:
            return self._failure

    def start(self) -> None:
        """Start the first group and return; loading continues in the background. Idempotent.

        Raises:
            RuntimeError: the supervisor was closed.
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
        """Wait up to `seconds` for a group or a failure; return whether there is a group."""
        with self._changed:
            self._changed.wait_for(lambda: self._group or self._failure, seconds)
            return self._group is not None

    def discard_group(self, group: RankGroup, loss: Loss = Loss.EXITED) -> None:
        """Kill `group` unless it has already exited; another one replaces it."""
        with self._changed:
            if self._group is group:
                self._group = None
                self._activity.lost(loss)
                self._changed.notify_all()
        group.kill()

    def close(self) -> None:
        """Kill the group and start no other. Idempotent."""
        with self._changed:
            if self._closing.is_set():
                return
            self._closing.set()
            self._group = None
            thread = self._thread
        self._close_sender.close()
        if thread is not None:
            thread.join()

    def _supervise(self) -> None:
        """Keep a group running until `close`."""
        backoff = Backoff(FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS)
        while not self._closing.is_set():
            try:
                self._run_group()
                backoff.reset()
            except (ModelLoadError, TooManyRanks) as error:
                self._record_failure(str(error))
                self._on_load_failure()
                return
            except RankLost as error:
                self._record_failure(f"{error} It was loading {self._model}.")
                self._wait_to_start_again(error.loss, next(backoff))
            except Exception as error:  # noqa: BLE001 - nothing else would start the next group
                _log.exception("engine: could not start")
                reason = f"The engine could not start: {type(error).__name__}: {error}"
                self._record_failure(reason.splitlines()[0])
                self._wait_to_start_again(Loss.START_FAILED, next(backoff))

    def _run_group(self) -> None:
        """Start one group, wait until it has loaded, and return when it exits or on `close`."""
        group = RankGroup(self._configure())
        try:
            if not group.wait_until_loaded(self._close_signal, self._load_seconds):
                return
            with self._changed:
                self._group, self._failure = group, None
                self._activity.started(group.started)
                self._changed.notify_all()
            wait([*group.sentinels, self._close_signal])
            if not self._closing.is_set():
                _log.warning("%s Restarting the engine.", group.exit_description())
        finally:
            self.discard_group(group)
            group.join()

    def _wait_to_start_again(self, loss: Loss, seconds: float) -> None:
        self._closing.wait(seconds)
        self._activity.lost(loss)

    def _record_failure(self, reason: str) -> None:
        _log.error("engine: %s", reason)
        self._activity.enter(EngineState.FAILED)
        with self._changed:
            self._failure = reason
            self._changed.notify_all()

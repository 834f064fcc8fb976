"""The engine as the HTTP process sees it. Importing this imports neither torch nor diffusers.

The model lives in child processes, one for each GPU: a crash of CUDA or an out-of-memory kill costs
one attempt, not the server, and a hung kernel can be ended only by ending its process.

Two threads of this process deal with the group of children. The supervisor starts it, waits until
it has loaded, and starts another one whenever it ends. The thread that calls `Engine.render` talks
to it during a render; an idle group says nothing, so they never read from it at the same time.
"""

from __future__ import annotations

import atexit
import logging
import math
import multiprocessing
import subprocess
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final, assert_never

from functions.generate.engine.devices import TooManyRanks, choose_ranks
from functions.generate.engine.group import NotLoadable, WorkerGroup
from functions.generate.engine.messages import (
    Failed,
    Order,
    Plan,
    Progress,
    Rendered,
    Shape,
    Verdict,
)
from functions.generate.engine.spawned import ChildGone
from functions.shared.errors import DeadlineExceeded, EngineCrashed, RenderCancelled
from functions.shared.requests import ResolvedRequest

# Seconds before a child that died while loading is tried again, doubled each time: it may have been
# killed for memory that is free again later, and should not keep the machine busy until then.
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0

_log = logging.getLogger(__name__)


class Engine:
    """One model, rendering one video at a time.

    Args:
        model: a folder (a relative one is looked up from the current directory) or a hub id.
        hang_seconds: how long a render may go without finishing a step or a stage before its
            processes are killed. Loading is not limited: it depends on a disk or network.
        render_seconds: how long a render may take in all.
        ranks: how many processes make a video together; None for one for each GPU.
        compiled: whether to compile the transformer; None to do so on GPUs.
        warm_up: what to render once before the engine is ready.
        on_not_loadable: called, on another thread, if the model can't be loaded here at all, after
            the log has said why. The engine tries no more.
    """

    def __init__(
        self,
        model: str,
        *,
        hang_seconds: float,
        render_seconds: float = math.inf,
        ranks: int | None = None,
        compiled: bool | None = None,
        warm_up: tuple[Shape, ...] = (),
        on_not_loadable: Callable[[], None] = lambda: None,
    ) -> None:
        self._model = model
        self._on_not_loadable = on_not_loadable
        self._hang_seconds = hang_seconds
        self._render_seconds = render_seconds
        self._asked_ranks = ranks
        self._compiled = compiled
        self._warm_up = warm_up
        self._changed = threading.Condition()  # guards the next three
        self._group: WorkerGroup | None = None  # only while it is ready
        self._failure: str | None = None
        self._supervisor: threading.Thread | None = None
        self._closing = threading.Event()
        self._rendering = threading.Lock()
        self._wake, self._waker = multiprocessing.Pipe(duplex=False)

    def start(self) -> None:
        """Start the group and return; loading goes on in the background. Once is enough.

        Raises:
            RuntimeError: the engine was closed.
        """
        with self._changed:
            if self._closing.is_set():
                raise RuntimeError("the engine is closed")
            if self._supervisor is not None:
                return
            self._supervisor = threading.Thread(
                target=self._supervise, name="engine-supervisor", daemon=True
            )
            self._supervisor.start()
        # multiprocessing would wait at exit for children, which ignore its SIGTERM.
        atexit.register(self.close)

    @property
    def ready(self) -> bool:
        """Whether a group is alive that has loaded the model and rendered once to warm up."""
        with self._changed:
            return self._group is not None

    @property
    def failure(self) -> str | None:
        """One line that says why the model could not be loaded; None while there is hope.

        After a crash while loading, another group is on its way, and this turns None when that is
        ready. A checkpoint that can't be loaded is the end.
        """
        with self._changed:
            return self._failure

    def wait(self, seconds: float) -> bool:
        """Block for up to `seconds` until the engine is ready or has a failure; return `ready`."""
        with self._changed:
            self._changed.wait_for(lambda: self._group or self._failure, seconds)
            return self._group is not None

    def render(
        self,
        request: ResolvedRequest,
        video_id: str,
        folder: Path,
        on_progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> Rendered:
        """Make the video and wait for it. From one thread at a time.

        Args:
            request: what to render.
            video_id: goes into the file's metadata.
            folder: where the files go; made if it does not exist. What a failed render leaves
                there is the caller's to remove.
            on_progress: called on this thread after each step, which waits for it; keep it short.
                What it raises ends the render and comes out here.
            cancelled: looked at after each step.

        Raises:
            RenderCancelled: `cancelled` was set.
            EngineCrashed: a process died, hung, or was not ready.
            DeadlineExceeded: it took longer than `render_seconds`.
            OutOfMemory: there is not enough memory for this size and length.
            AttemptFailed: anything else that went wrong in a process.
            RuntimeError: another thread is rendering.
        """
        if not self._rendering.acquire(blocking=False):
            raise RuntimeError("the engine is rendering another video")
        try:
            with self._changed:
                group = self._group
                if group is None:
                    raise EngineCrashed("The engine is not ready.")
            try:
                group.begin(Order(request, video_id, folder.absolute()))
                outcome = self._follow(group, on_progress, cancelled)
            except BaseException as error:
                # In the middle of a conversation: it could not take another order.
                self._give_up(group)
                if isinstance(error, ChildGone):
                    raise EngineCrashed(str(error)) from error
                raise
        finally:
            self._rendering.release()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the group, and a running render with `EngineCrashed`. Closing twice does nothing."""
        atexit.unregister(self.close)
        with self._changed:
            if self._closing.is_set():
                return
            self._closing.set()
            self._group = None
            supervisor = self._supervisor
        self._waker.close()  # makes the other end readable, for good
        if supervisor is not None:
            supervisor.join()

    def _follow(
        self,
        group: WorkerGroup,
        on_progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> Rendered | Exception:
        """Answer the group's messages until it has finished its order, well or badly."""
        deadline = time.monotonic() + self._render_seconds
        raised: Exception | None = None
        while True:
            message = group.receive(timeout=self._hang_seconds)
            match message:
                case Progress():
                    try:
                        on_progress(message)
                    except Exception as error:  # noqa: BLE001 - raised again when the group is idle
                        raised = raised or error
                    if raised is None and time.monotonic() > deadline:
                        raised = DeadlineExceeded()
                    group.answer(Verdict(go_on=raised is None and not cancelled.is_set()))
                case Rendered():
                    return message
                case Failed(error=RenderCancelled()) if raised is not None:
                    return raised
                case Failed():
                    return message.error
                case _:
                    assert_never(message)

    def _give_up(self, group: WorkerGroup) -> None:
        with self._changed:
            if self._group is group:
                self._group = None
                self._changed.notify_all()
        group.end()

    def _supervise(self) -> None:
        """Keep a group alive until `close`."""
        pause = FIRST_PAUSE
        while not self._closing.is_set():
            try:
                self._live()
                pause = FIRST_PAUSE
            except (NotLoadable, TooManyRanks) as error:
                self._fail(str(error))
                self._on_not_loadable()
                return
            except (ChildGone, OSError, subprocess.CalledProcessError) as error:
                self._fail(f"{error} It was to load {self._model}.")
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def _live(self) -> None:
        """The life of one group: it is started, loads, and works until it ends or `close` comes."""
        ranks = choose_ranks(self._asked_ranks)
        group = WorkerGroup(Plan(self._model, ranks, self._compiled, self._warm_up))
        try:
            if not group.wait_until_loaded(self._wake):
                return
            with self._changed:
                self._group, self._failure = group, None
                self._changed.notify_all()
            wait([*group.sentinels, self._wake])
            if not self._closing.is_set():
                _log.warning("%s Starting another one.", group.obituary())
        finally:
            self._give_up(group)
            group.join()

    def _fail(self, reason: str) -> None:
        _log.error("engine: %s", reason)
        with self._changed:
            self._failure = reason
            self._changed.notify_all()

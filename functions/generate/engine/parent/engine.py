"""The engine as the HTTP process sees it. Importing this imports neither torch nor diffusers.

The model lives in child processes, one for each GPU: a crash of CUDA or an out-of-memory kill costs
one attempt, not the server, and a hung kernel can be ended only by ending its process.

Two threads of this process deal with the group of children. The supervisor starts it, waits until
it has loaded, and starts another one whenever it ends. The thread that calls `Engine.render` talks
to it during a render; an idle group says nothing, so they never read from it at the same time.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from functions.generate.engine.messages import (
    Failed,
    Order,
    Plan,
    Progress,
    Rendered,
    Shape,
    Verdict,
)
from functions.generate.engine.parent.devices import choose_ranks
from functions.generate.engine.parent.group import WorkerGroup
from functions.generate.engine.parent.group_supervisor import GroupSupervisor
from functions.generate.engine.parent.spawned import ChildGone
from functions.shared.errors import DeadlineExceeded, EngineCrashed, RenderCancelled
from functions.shared.video.requests import ResolvedRequest


class Engine:
    """One model, rendering one video at a time.

    Args:
        model: a folder (a relative one is looked up from the current directory) or a hub id.
        hang_seconds: how long a render may go without finishing a step or a stage before its
            processes are killed.
        render_seconds: how long a render may take in all.
        load_seconds: how long loading may take, with what is fetched and rendered for it, before
            the processes are killed and others tried.
        ranks: how many processes make a video together; None for one for each GPU.
        compiled: whether to compile the transformer; None to do so on GPUs.
        warm_up: what to render once before the engine is ready.
        needs_gpu: whether the model can't be loaded, for its size, where torch can use no GPU.
        on_not_loadable: called, on another thread, if the model can't be loaded here at all, after
            the log has said why. The engine tries no more.
    """

    def __init__(
        self,
        model: str,
        *,
        hang_seconds: float,
        render_seconds: float = math.inf,
        load_seconds: float = 3600,
        ranks: int | None = None,
        compiled: bool | None = None,
        warm_up: tuple[Shape, ...] = (),
        needs_gpu: bool = False,
        on_not_loadable: Callable[[], None] = lambda: None,
    ) -> None:
        def plan() -> Plan:
            return Plan(model, choose_ranks(ranks), compiled, warm_up, needs_gpu)

        self._supervisor = GroupSupervisor(model, plan, load_seconds, on_not_loadable)
        self._hang_seconds = hang_seconds
        self._render_seconds = render_seconds
        self._rendering = threading.Lock()

    def start(self) -> None:
        """Start the processes and return; loading goes on in the background. Once is enough.

        Raises:
            RuntimeError: the engine was closed.
        """
        self._supervisor.start()
        # multiprocessing would wait at exit for children, which ignore its SIGTERM.
        atexit.register(self.close)

    @property
    def ready(self) -> bool:
        """Whether a group is alive that has loaded the model and rendered once to warm up."""
        return self._supervisor.group is not None

    @property
    def failure(self) -> str | None:
        """As `GroupSupervisor.failure`."""
        return self._supervisor.failure

    def wait(self, seconds: float) -> bool:
        """Block for up to `seconds` until the engine is ready or has a failure; return `ready`."""
        return self._supervisor.wait(seconds)

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
            group = self._supervisor.group
            if group is None:
                raise EngineCrashed("The engine is not ready.")
            try:
                group.begin(Order(request, video_id, folder.absolute()))
                outcome = self._follow(group, on_progress, cancelled)
            except BaseException as error:
                # In the middle of a conversation: it could not take another order.
                self._supervisor.give_up(group)
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
        self._supervisor.close()

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

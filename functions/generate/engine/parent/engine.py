"""The engine's interface. Importing it imports neither torch nor diffusers.

The model runs in child processes, one per GPU: a CUDA crash or an out-of-memory kill then costs one
attempt, not the server, and a hung kernel can only be stopped by killing its process.

Two threads of this process use the group of ranks. The supervisor's thread starts it, waits until
it has loaded, and replaces it when it is lost. The thread that calls `Engine.render` exchanges
messages with it during a render. An idle group sends nothing, so the two never read concurrently.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

from structlog.contextvars import get_contextvars

from functions.generate.engine.messages import (
    EngineConfig,
    PreviewLimits,
    Progress,
    ProgressReply,
    Rendered,
    RenderFailed,
    RenderJob,
    Shape,
)
from functions.generate.engine.parent.activity import (
    ActivityRecord,
    EngineActivity,
    EngineState,
    Loss,
)
from functions.generate.engine.parent.group_supervisor import GroupSupervisor
from functions.generate.engine.parent.rank_count import choose_rank_count
from functions.generate.engine.parent.rank_group import RankGroup
from functions.generate.engine.parent.rank_process import RankLost
from functions.shared.errors import DeadlineExceeded, EngineCrashed, RenderCancelled
from functions.shared.video.profiles import FastMode, SigmaSchedule
from functions.shared.video.requests import ResolvedRequest


class Engine:
    """One model, rendering one video at a time.

    Args:
        model: a folder, relative to the current directory or absolute, or a hub id.
        hang_seconds: how long a render may go without finishing a step or a stage before its
            processes are killed.
        render_seconds: how long a render may take in total.
        load_seconds: how long loading may take, including downloads and warm-up, before the
            processes are killed and restarted.
        ranks: how many processes render a video together; None for one per GPU.
        compiled: whether to compile the transformer; None to do so on GPUs only.
        warm_up: shapes to render once before the engine is ready.
        needs_gpu: whether the model is too large to run where torch can't use a GPU.
        sigmas: the model's schedule; None for Mochi 1's own.
        fast: how videos of quality `fast` are rendered; None if the model has no such videos.
        loras: what to add to the weights, as the setting LORAS has it.
        compile_cache: see `EngineConfig`.
        previews: see `EngineConfig`; None for no previews.
        attention: see `EngineConfig`.
        decoder_format: see `EngineConfig`.
        on_load_failure: called on another thread if the model can't be loaded here at all, after
            the reason has been logged. The engine does not retry after that.
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
        sigmas: SigmaSchedule | None = None,
        fast: FastMode | None = None,
        loras: str | None = None,
        compile_cache: str | None = None,
        previews: PreviewLimits | None = None,
        attention: str | None = None,
        decoder_format: str | None = None,
        on_load_failure: Callable[[], None] = lambda: None,
    ) -> None:
        def configure() -> EngineConfig:
            return EngineConfig(
                model,
                choose_rank_count(ranks),
                compiled,
                warm_up,
                needs_gpu,
                sigmas or SigmaSchedule(),
                fast,
                loras,
                compile_cache,
                previews or PreviewLimits(),
                attention,
                decoder_format,
            )

        self._activity = ActivityRecord()
        self._supervisor = GroupSupervisor(
            model, configure, load_seconds, on_load_failure, self._activity
        )
        self._hang_seconds = hang_seconds
        self._render_seconds = render_seconds
        self._rendering = threading.Lock()

    def start(self) -> None:
        """Start the processes and return; loading continues in the background. Idempotent.

        Raises:
            RuntimeError: the engine was closed.
        """
        self._supervisor.start()
        # At exit, multiprocessing would send SIGTERM to the children, which ignore it, and wait.
        atexit.register(self.close)

    @property
    def ready(self) -> bool:
        """Whether the ranks are running and have loaded the model and warmed up."""
        return self._supervisor.group is not None

    @property
    def failure(self) -> str | None:
        """As `GroupSupervisor.failure`."""
        return self._supervisor.failure

    def activity(self) -> EngineActivity:
        """What the engine has done so far."""
        return self._activity.read()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds` until the engine is ready or has a failure; return `ready`."""
        return self._supervisor.wait(seconds)

    def render(
        self,
        request: ResolvedRequest,
        video_id: str,
        folder: Path,
        on_progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> Rendered:
        """Render a video and wait for it. Not from two threads at once.

        Args:
            request: what to render.
            video_id: written to the file's metadata.
            folder: where the files are written; created if it does not exist. The caller removes
                what a failed render leaves there.
            on_progress: called on this thread after each step, while the render waits; keep it
                short. An exception that it raises stops the render and is raised here.
            cancelled: checked after each step.

        Raises:
            RenderCancelled: `cancelled` was set.
            EngineCrashed: a process died, hung, or was not ready.
            DeadlineExceeded: it took longer than `render_seconds`.
            NotFinite: a stage's result was not finite.
            OutOfMemory: there is not enough memory for this size and length.
            AttemptFailed: anything else failed in a process.
            RuntimeError: another thread is rendering.
        """
        if not self._rendering.acquire(blocking=False):
            raise RuntimeError("the engine is rendering another video")
        try:
            group = self._supervisor.group
            if group is None:
                raise EngineCrashed("The engine is not ready.")
            self._activity.enter(EngineState.RENDERING, only_from=EngineState.IDLE)
            try:
                job = RenderJob(request, video_id, folder.absolute(), get_contextvars())
                group.send_job(job)
                outcome = self._wait_for_outcome(group, on_progress, cancelled)
            except BaseException as error:
                # The exchange of messages was interrupted: the group can't take another job.
                if isinstance(error, RankLost):
                    self._supervisor.discard_group(group, error.loss)
                    raise EngineCrashed(str(error)) from error
                self._supervisor.discard_group(group, Loss.INTERRUPTED)
                raise
        finally:
            # Unless the group was lost meanwhile.
            self._activity.enter(EngineState.IDLE, only_from=EngineState.RENDERING)
            self._rendering.release()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        """Kill the processes; a render in flight raises `EngineCrashed`. Idempotent."""
        atexit.unregister(self.close)
        self._supervisor.close()

    def _wait_for_outcome(
        self,
        group: RankGroup,
        on_progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> Rendered | Exception:
        """Handle the group's messages until its job has succeeded or failed."""
        deadline = time.monotonic() + self._render_seconds
        raised: Exception | None = None
        while True:
            message = group.next_message(timeout=self._hang_seconds)
            match message:
                case Progress():
                    try:
                        on_progress(message)
                    except Exception as error:  # noqa: BLE001 - raised once the group is idle
                        raised = raised or error
                    if raised is None and time.monotonic() > deadline:
                        raised = DeadlineExceeded()
                    proceed = raised is None and not cancelled.is_set()
                    group.reply_to_progress(ProgressReply(proceed=proceed))
                case Rendered():
                    return message
                case RenderFailed(error=RenderCancelled()) if raised is not None:
                    return raised
                case RenderFailed():
                    return message.error
                case _:
                    assert_never(message)

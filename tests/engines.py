"""Engines that a test can pause, so that a video takes exactly as long as the test needs."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, Final

import psutil

from tests.harness import RunningStack, is_stopped
from tests.log_lines import logged
from tests.patience import wait_until

# Two seconds of a core, so that a video can be held in the middle of its steps.
STEPS: Final[dict[str, Any]] = {"num_inference_steps": 60}
# Some of these steps, not all: CPU time does not depend on the machine's load.
_INTO_THE_STEPS: Final = 0.2


class Engines:
    """The processes that hold the model, one for each of a stack's replicas."""

    def __init__(self, stack: RunningStack) -> None:
        """Hold engines of `stack`."""
        self._stack: Final = stack
        self._names: Final = [name for name in stack.table if name.startswith("generate-")]
        self._held: dict[str, psutil.Process] = {}

    def of(self, name: str) -> psutil.Process | None:
        """The engine process of a replica, or None while it has none."""
        worker = psutil.Process(self._stack.worker_pid(name))
        return next((c for c in worker.children() if "spawn_main" in " ".join(c.cmdline())), None)

    def hold(self) -> None:
        """SIGSTOP all of them: videos that are requested now start, and run no step."""
        for name in self._names:
            self._stack.wait_ready(name)  # a stopped engine never finishes loading
            # A video that was cancelled keeps its worker until the engine's next step.
            wait_until(partial(self._is_idle, name), seconds=60, what=f"{name} is idle")
            self._hold(name)

    def hold_mid_video(self, name: str) -> None:
        """Resume one until it has run some of its video's steps, then stop it again."""
        engine = self._held.pop(name)
        before = _seconds(engine)
        engine.resume()
        wait_until(
            lambda: _seconds(engine) > before + _INTO_THE_STEPS,
            seconds=30,
            what=f"{name} has run steps",
            every=0.01,
        )
        self._hold(name)

    def rendering(self, video_id: str) -> str:
        """The replica that has begun a video's first attempt, once there is one."""

        def begun() -> str | None:
            fields = {"video_id": video_id, "attempt": 1}
            return next(
                (n for n in self._names if logged(self._stack.log(n), "attempt begins", **fields)),
                None,
            )

        return wait_until(begun, seconds=60, what=f"a worker starts {video_id}")

    def resume(self, *but: str) -> None:
        """Resume all except these; engines that have exited are skipped."""
        for name in self._held.keys() - set(but):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._held.pop(name).resume()

    def _is_idle(self, name: str) -> bool:
        log = self._stack.log(name)
        ends = (log.rfind("attempt ended"), log.rfind("Booting worker"))  # one may have been killed
        return log.rfind("attempt begins") <= max(ends)

    def _hold(self, name: str) -> None:
        engine = wait_until(partial(self.of, name), seconds=60, what=f"{name} has an engine")
        engine.suspend()
        wait_until(partial(is_stopped, engine.pid), seconds=10, what=f"{name}'s engine stops")
        self._held[name] = engine


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)

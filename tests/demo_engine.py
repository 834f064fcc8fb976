"""Small renders with the demo checkpoint, in engines that tests start."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from functions.generate.engine.messages import Progress, Rendered
from functions.generate.engine.parent.engine import Engine
from functions.shared.video.profiles import load_profile
from functions.shared.video.progress import Stage
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from local.stack import DEFAULT_MODEL, ROOT

DEMO: Final = ROOT / DEFAULT_MODEL
# Far longer than a step of the demo takes, even on a busy machine.
HANG_SECONDS: Final = 5
START_SECONDS: Final = 240

_SMALL: Final = {
    "prompt": "a red circle",
    "size": "32x32",
    "num_frames": 7,
    "num_inference_steps": 6,
    "seed": 1,
}


def small_request(**settings: Any) -> ResolvedRequest:
    """A request with these settings that is otherwise small."""
    video = VideoRequest.model_validate(_SMALL | settings)
    return ResolvedRequest.resolve(video, load_profile("demo"), "acme", "video_1")


def render_small(
    engine: Engine,
    folder: Path,
    on_progress: Callable[[Progress], Any] = lambda _: None,
    cancelled: threading.Event | None = None,
    **settings: Any,
) -> Rendered:
    """Render a small request to `folder`."""
    request = small_request(**settings)
    return engine.render(request, "video_1", folder, on_progress, cancelled or threading.Event())


def at_step(step: int, act: Callable[[], Any]) -> Callable[[Progress], None]:
    """A progress callback that calls `act` after denoising step `step`."""

    def on_progress(progress: Progress) -> None:
        if (progress.stage, progress.done) == (Stage.DENOISING, step):
            act()

    return on_progress


def pids_of(engine: Engine) -> list[int]:
    """The process ids of a ready engine's ranks."""
    group = engine._supervisor.group
    assert group is not None
    pids = [process.pid for process in group.processes]
    assert None not in pids
    return [pid for pid in pids if pid is not None]

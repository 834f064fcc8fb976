"""What `generate` needs of an engine, as a Protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from functions.generate.engine.messages import Progress, Rendered
from functions.generate.engine.parent.activity import EngineActivity
from functions.shared.video.requests import ResolvedRequest


class RenderEngine(Protocol):
    """Renders one video at a time: `engine.parent.engine.Engine`, or a test's stand-in."""

    @property
    def ready(self) -> bool:
        """See `Engine.ready`."""

    @property
    def failure(self) -> str | None:
        """See `Engine.failure`."""

    def render(
        self,
        request: ResolvedRequest,
        video_id: str,
        folder: Path,
        on_progress: Callable[[Progress], None],
        cancelled: threading.Event,
    ) -> Rendered:
        """See `Engine.render`."""

    def activity(self) -> EngineActivity:
        """See `Engine.activity`."""

    def close(self) -> None:
        """See `Engine.close`."""

"""A process of the engine: loads the model and renders one order after the other.

The parent imports this module too, to name `main`; so torch is imported only inside it.
"""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
import traceback
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from functions.generate.engine.messages import (
    Failed,
    Finished,
    Loaded,
    NotLoaded,
    Order,
    Plan,
    Progress,
    Rendered,
    Verdict,
)
from functions.generate.engine.model.devices import DeviceLost, require_gpu
from functions.shared.errors import AttemptFailed, RenderCancelled
from functions.shared.video.progress import Stage

if TYPE_CHECKING:
    from functions.generate.engine.model.rendering import Renderer

_log = logging.getLogger(__name__)


def main(connection: Connection, plan: Plan, rank: int, folder: Path) -> None:
    """Load the plan's model, say so, and then answer each `Order`, with ranks met in `folder`.

    The first rank reports its progress, asks whether to go on, and answers `Rendered`; the others
    hear of that from it, and answer `Finished`. Any of them may answer `Failed`.

    Returns when the parent closes the connection or the model can't be loaded. Ends the process
    when its device is lost.
    """
    # The parent decides when this process ends: a terminal's Ctrl-C and a SIGTERM to the process
    # group come here too, and must not end a video that the parent lets finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, name="die-with-parent", daemon=True).start()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("functions").setLevel(logging.INFO)  # which device and kernel are used
    try:
        renderer = _load(plan, rank, folder)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        _log.debug("can't load %s", plan.model, exc_info=True)
        connection.send(NotLoaded(_one_line(error, plan.model)))
        return
    connection.send(Loaded(renderer.model_revision))
    while True:
        try:
            order: Order = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = _work(renderer, order, connection, first=rank == 0)
        except DeviceLost:
            _log.exception("video %s: the device is lost", order.video_id)
            os._exit(1)  # no clean-up: it would use the device
        connection.send(answer)


def _die_with_parent() -> None:
    """End this process as soon as the parent's ends, whatever the main thread is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # no clean-up: it would wait for the main thread


def _load(plan: Plan, rank: int, folder: Path) -> Renderer:
    # Imports take seconds and half a gigabyte: the parent, which imports this module, has no use
    # for them. A checkpoint that is plainly wrong is found before most of them.
    from functions.generate.engine.model import checkpoint  # noqa: PLC0415

    # Threads that wait for each other should sleep: spinning, a demo video that takes half a second
    # took up to 12 on cores shared with two busy processes. Read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if plan.needs_gpu:
        require_gpu()  # before gigabytes are fetched for nothing
    found = checkpoint.locate(plan.model)
    # All that is needed is here now; nothing that a folder lacks may be looked up on the network.
    os.environ["HF_HUB_OFFLINE"] = "1"
    # What is imported stays: to look through it for garbage again and again would only take time.
    gc.disable()
    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415
    from functions.generate.engine.model.rendering import Renderer  # noqa: PLC0415
    from functions.generate.engine.model.warmup import warm_up  # noqa: PLC0415

    gc.freeze()
    gc.enable()

    ranks = Ranks.join(rank, plan.ranks, folder)
    renderer = Renderer(found, ranks, compiled=plan.compiled)
    warm_up(renderer, plan.warm_up)
    return renderer


def _work(
    renderer: Renderer, order: Order, connection: Connection, *, first: bool
) -> Rendered | Finished | Failed:
    def report(stage: Stage, done: int, total: int) -> None:
        connection.send(Progress(stage, done, total))
        verdict: Verdict = connection.recv()
        if not verdict.go_on:
            raise RenderCancelled

    try:
        return renderer.render(order, report if first else lambda *_: None) or Finished()
    except AttemptFailed as error:
        # The frames of a traceback keep tensors alive, and pickle leaves them out anyway.
        traceback.clear_frames(error.__traceback__)
        return Failed(error.with_traceback(None))
    except DeviceLost:
        raise
    except Exception as error:  # noqa: BLE001 - the next order may well work
        _log.exception("video %s failed", order.video_id)
        return Failed(AttemptFailed(f"{type(error).__name__}: {error}"[:500]))


def _one_line(error: Exception, model: str) -> str:
    """What went wrong, in one line that names the model."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = first or type(error).__name__
    return text if model in text else f"{model}: {text}"

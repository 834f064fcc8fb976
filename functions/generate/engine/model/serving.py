"""A rank's message loop: load the model, then render one job after another.

Importing this module does not import torch; `load_renderer` does, once it is worth the time.
"""

from __future__ import annotations

import gc
import logging
import os
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from structlog.contextvars import bound_contextvars

from functions.generate.engine.messages import (
    EngineConfig,
    LoadFailed,
    ModelLoaded,
    Progress,
    ProgressReply,
    RankFinished,
    Rendered,
    RenderFailed,
    RenderJob,
)
from functions.generate.engine.model.checkpoint import locate_checkpoint
from functions.generate.engine.model.compile_cache import use_compile_cache
from functions.generate.engine.model.gpu import DeviceLost, device_name, require_gpu
from functions.generate.engine.model.lora_files import add_loras
from functions.shared.errors import AttemptFailed, RenderCancelled
from functions.shared.video.progress import Stage
from functions.shared.video.warnings import Warnings

if TYPE_CHECKING:
    from functions.generate.engine.model.rendering import Renderer

_log = logging.getLogger(__name__)


def serve(connection: Connection, config: EngineConfig, rank: int, rendezvous: Path) -> None:
    """Load the model, report the outcome, then answer each `RenderJob`.

    Rank 0 sends `Progress`, waits for each reply, and answers with `Rendered`. The other ranks
    learn from rank 0 that a job was cancelled, and answer with `RankFinished`. Any rank may answer
    with `RenderFailed`.

    Returns when the parent closes the connection, or when the model can't be loaded. Exits the
    process when its device is lost.
    """
    try:
        renderer, started = load_renderer(config, rank, rendezvous)
    except Exception as error:  # noqa: BLE001 - the parent must learn of any failure
        _log.debug("can't load %s", config.model, exc_info=True)
        connection.send(LoadFailed(_one_line(error, config.model)))
        return
    connection.send(started)
    while True:
        try:
            job: RenderJob = connection.recv()
        except (EOFError, OSError):
            return
        try:
            with bound_contextvars(**job.log_fields):
                answer = _run_job(renderer, job, connection, rank)
        except DeviceLost:
            _log.exception("video %s: the device is lost", job.video_id)
            os._exit(1)  # a regular exit would use the device to clean up
        connection.send(answer)


def load_renderer(
    config: EngineConfig, rank: int, rendezvous: Path
) -> tuple[Renderer, ModelLoaded]:
    """Load and warm up the model as rank `rank`, meeting the other ranks in `rendezvous`.

    Raises:
        Exception: the model can't be loaded here.
    """
    begun = time.perf_counter()
    # Read when torch is imported. Waiting threads should sleep: while they spun, a demo video that
    # takes half a second took up to 12 s on cores shared with two busy processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if config.needs_gpu:
        require_gpu()  # before gigabytes are downloaded for nothing
    checkpoint = add_loras(locate_checkpoint(config.model), config.loras)
    # Everything needed is on disk now. Files that a folder lacks must not be looked up online.
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Imported modules are never freed, so collecting garbage among them only costs time.
    gc.disable()
    # Imported after the checks above, which fail in milliseconds where these take seconds.
    from functions.generate.engine.model.compilation import count_graphs  # noqa: PLC0415
    from functions.generate.engine.model.mochi import Mochi  # noqa: PLC0415
    from functions.generate.engine.model.ranks import Ranks  # noqa: PLC0415
    from functions.generate.engine.model.rendering import Renderer  # noqa: PLC0415
    from functions.generate.engine.model.warmup import warm_up  # noqa: PLC0415

    gc.freeze()
    gc.enable()

    ranks = Ranks.join(rank, config.ranks, rendezvous)
    if config.compile_cache is not None:
        use_compile_cache(Path(config.compile_cache), device_name(rank))
    model = Mochi(
        checkpoint,
        ranks,
        config.sigmas,
        fast=config.fast,
        compiled=config.compiled,
        attention=config.attention,
        decoder_format=config.decoder_format,
        sizes=config.warm_up,
    )
    renderer = Renderer(model, config.previews)
    loaded = time.perf_counter()
    warm_up(renderer, config.warm_up, rendezvous)
    compiled, cached = count_graphs()
    return renderer, ModelLoaded(
        renderer.model_revision,
        model.report,
        load_seconds=loaded - begun,
        warm_up_seconds=time.perf_counter() - loaded,
        graphs_compiled=compiled,
        graphs_cached=cached,
    )


def _run_job(
    renderer: Renderer, job: RenderJob, connection: Connection, rank: int
) -> Rendered | RankFinished | RenderFailed:
    warnings: Warnings = ()

    def report_progress(
        stage: Stage, done: int, total: int, preview: bytes | None = None, /
    ) -> None:
        if rank != 0:
            return
        connection.send(Progress(stage, done, total, warnings, preview))
        reply: ProgressReply = connection.recv()
        if not reply.proceed:
            raise RenderCancelled

    try:
        if rank == 0:
            warnings = renderer.find_warnings(job.request)
        return renderer.render(job, report_progress) or RankFinished()
    except AttemptFailed as error:
        # A traceback's frames keep tensors alive, and pickle would drop them anyway.
        traceback.clear_frames(error.__traceback__)
        return RenderFailed(error.with_traceback(None))
    except DeviceLost:
        raise
    except Exception as error:  # noqa: BLE001 - the next job may still succeed
        _log.exception("video %s failed", job.video_id)
        return RenderFailed(AttemptFailed(f"{type(error).__name__}: {error}"[:500]))


def _one_line(error: Exception, model: str) -> str:
    """The first line of the error's message, prefixed with the model unless it names it."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = first or type(error).__name__
    return text if model in text else f"{model}: {text}"

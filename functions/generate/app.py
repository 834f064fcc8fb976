"""The function `generate`: renders one video at a time."""

from __future__ import annotations

import os
import socket
from typing import Never

from flask import Flask
from gunicorn.arbiter import Arbiter
from prometheus_client import CollectorRegistry

from functions.generate.attempt import AttemptDependencies
from functions.generate.attempt_metrics import AttemptMetrics
from functions.generate.engine.messages import PreviewLimits, Shape
from functions.generate.engine.parent.engine import Engine
from functions.generate.engine_metrics import EngineMetrics
from functions.generate.gpus.gpu_metrics import GpuMetrics
from functions.generate.gpus.watch import GpuWatch
from functions.generate.render_engine import RenderEngine
from functions.generate.routes import GenerateRoutes
from functions.generate.worker import Worker
from functions.shared.api.http import new_app
from functions.shared.config import Settings, load_settings
from functions.shared.errors import Unavailable
from functions.shared.logs import configure_logging
from functions.shared.storage import S3Store, Store
from functions.shared.store_metrics import StoreMetrics
from functions.shared.streams.bus import Bus
from functions.shared.streams.jetstream import JetStream
from functions.shared.streams.ledger import Ledger
from functions.shared.streams.stream_metrics import StreamMetrics
from functions.shared.video.profiles import load_profile
from functions.shared.write_check import WriteCheck


def create_app(
    settings: Settings | None = None,
    bus: Bus | None = None,
    store: Store | None = None,
    engine: RenderEngine | None = None,
) -> Flask:
    """Wire the function; what is not given is created as the settings say.

    The engine starts loading the model here, in processes of its own; `/readyz` succeeds once it is
    loaded. If it can't be loaded, this process and its gunicorn exit.
    """
    settings = settings or load_settings()
    configure_logging("generate", settings.log_format)
    registry = CollectorRegistry()
    stream = bus or JetStream(settings.nats_url, metrics=StreamMetrics(registry, "generate"))
    store = store or S3Store.from_settings(settings, StoreMetrics(registry))
    engine = engine or _start_engine(settings)
    registry.register(EngineMetrics(engine.activity))
    gpus = GpuWatch()
    gpus.start()
    registry.register(GpuMetrics(gpus.reports))
    worker = Worker(
        AttemptDependencies(
            Ledger(
                stream,
                takeover_grace=settings.takeover_grace_seconds,
                on_stored=AttemptMetrics(registry).count,
            ),
            stream,
            store,
            engine,
            settings.lease_renew_seconds,
            settings.upload_retry_seconds,
        ),
        load_profile(settings.model_profile),
        WriteCheck(store),
        name=socket.gethostname(),
        lease_seconds=settings.lease_seconds,
    )

    def check() -> None:
        if engine.failure is not None:
            raise Unavailable(engine.failure)
        if not engine.ready:
            raise Unavailable("The model is being loaded")
        worker.check()
        stream.check()

    app = new_app(
        "generate",
        check=check,
        max_body_bytes=settings.max_body_bytes,
        allowed_hosts=settings.allowed_hosts,
        registry=registry,
    )
    app.extensions["kinora.worker"] = worker
    app.extensions["kinora.engine"] = engine

    GenerateRoutes(worker, engine).register(app)
    return app


def _start_engine(settings: Settings) -> Engine:
    """Start the engine that `settings` describe; it loads its model in the background."""
    profile = load_profile(settings.model_profile)
    engine = Engine(
        settings.model,
        hang_seconds=settings.hang_seconds,
        render_seconds=settings.render_seconds,
        load_seconds=settings.load_seconds,
        ranks=settings.engine_ranks,
        compiled=settings.engine_compile,
        warm_up=Shape.parse_all(settings.engine_warm_up),
        needs_gpu=not profile.demo,
        sigmas=profile.sigmas,
        fast=profile.fast,
        loras=settings.loras,
        compile_cache=settings.compile_cache,
        previews=PreviewLimits(settings.preview_seconds),
        attention=settings.engine_attention,
        decoder_format=settings.engine_decoder_format,
        on_load_failure=_exit,
    )
    engine.start()
    return engine


def _exit() -> Never:
    """Exit with a failed start, since no video can be rendered."""
    # With this status gunicorn exits too, instead of starting another worker. An exception on the
    # engine's thread would not end the process.
    os._exit(Arbiter.WORKER_BOOT_ERROR)

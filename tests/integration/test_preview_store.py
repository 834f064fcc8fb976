"""Previews and a real object store that stops answering in the middle of a video."""

from __future__ import annotations

import psutil

from functions.generate.attempt import AttemptDependencies
from functions.generate.worker import Worker
from functions.shared.storage import S3Store
from functions.shared.streams.ledger import Ledger
from functions.shared.subjects import VideoKey
from functions.shared.video.events import Progressed
from functions.shared.video.profiles import load_profile
from functions.shared.write_check import WriteCheck
from tests.fakes import MemoryBus
from tests.harness import RunningStack, is_stopped
from tests.patience import scaled, wait_until
from tests.unit.events import put_request
from tests.unit.step_engine import StepEngine

KEY = VideoKey("acme", "previewed")


def test_a_frozen_store_delays_no_step_and_fails_no_video(
    servers: RunningStack, s3: S3Store
) -> None:
    """Previews are dropped, the video is rendered, and it is uploaded once the store is back."""
    bus, engine = MemoryBus(), StepEngine()
    ledger = Ledger(bus, takeover_grace=15)
    dependencies = AttemptDependencies(
        ledger, bus, s3, engine, renew_seconds=0.02, upload_retry_seconds=300
    )
    profile = load_profile("demo")
    worker = Worker(dependencies, profile, WriteCheck(s3), name="w1", lease_seconds=20)

    def previewed() -> int | None:
        data = ledger.read(KEY).data
        return data.preview if isinstance(data, Progressed) else None

    def names() -> set[str]:
        return {item.key.rpartition("/")[2] for item in s3.list_objects(KEY.object_prefix)}

    attempt = worker.start_attempt(put_request(bus, KEY))
    engine.previews.put(b"stored")
    wait_until(lambda: previewed() == 1, seconds=20, what="the first preview is stored")
    assert names() == {"preview.jpg"}
    process = psutil.Process(servers.running["s3"].pid)
    process.suspend()
    try:
        wait_until(lambda: is_stopped(process.pid), seconds=10, what="the store stops")
        for _ in range(3):
            engine.previews.put(b"dropped")
        wait_until(engine.previews.empty, seconds=10, what="the engine goes on")
        before = ledger.read(KEY).seq
        wait_until(lambda: ledger.read(KEY).seq > before + 1, seconds=10, what="two renewals")
        engine.go.set()
        wait_until(
            lambda: attempt.status_line()["stage"] == "uploading",
            seconds=10,
            what="the video is rendered, and waits for its upload",
        )
    finally:
        process.resume()
    assert attempt.finished.wait(scaled(60))
    assert attempt.status_line()["state"] == "completed"
    assert names() == {"completed.json", "spritesheet.jpg", "thumbnail.jpg", "video.mp4"}
    worker.drain()
    s3.delete_prefix(KEY.object_prefix)

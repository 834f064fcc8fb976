"""Servers of a local stack that take no writes; `benchmarks/attacks.py` measures who notices."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from benchmarks.attack_stage import ATTACKERS, INNOCENT, Stage
from tests.patience import wait_until

# After the outage. Rendering has the lowest priority, and a hundred small videos wait.
_FINISH_SECONDS: Final = 240.0
_UNFINISHED: Final = "queued,in_progress"


@contextmanager
def refusing_store(stage: Stage) -> Iterator[None]:
    """Stop the object store while videos are made; note what that cost them, after it is back."""
    stage.stack.kill("s3")
    try:
        yield
    finally:
        stage.stack.start("s3")
    wait_until(
        lambda: not _videos(stage, _UNFINISHED),
        seconds=_FINISH_SECONDS,
        what="all videos have ended",
        every=0.5,
    )
    ended = _videos(stage, "completed,failed")
    burnt = sum(video["attempt"] - 1 for video in ended)
    failed = sum(video["status"] == "failed" for video in ended)
    stage.note(f"{len(ended)} videos, {burnt} attempts burnt, {failed} failed")


def _videos(stage: Stage, status: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for account in (INNOCENT, *ATTACKERS):
        query = {"status": status, "limit": "100"}
        while True:
            page = stage.request("GET", "", account, params=query).json()
            found += page["data"]
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
    return found


@contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """Leave no room on the disk of NATS; afterwards, make room and restart it."""
    assert stage.disk is not None
    stage.disk.fill()
    try:
        yield
    finally:
        stage.disk.empty()
    stage.stack.kill("nats")
    restarted = time.monotonic()
    stage.stack.start("nats")
    wait_until(
        lambda: stage.request("POST", "", json={"prompt": "a red circle"}).ok,
        seconds=60,
        what="requests are stored again",
    )
    stage.note(f"stored again {time.monotonic() - restarted:.1f} s after the restart of NATS")

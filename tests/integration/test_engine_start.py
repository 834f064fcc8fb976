"""Engines that fail to start, and the end of a child whose parent is gone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from functions.generate.engine.parent.engine import Engine
from tests.demo_engine import DEMO, HANG_SECONDS, START_SECONDS, small_request
from tests.patience import scaled


def test_a_child_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """When the parent is killed during a long render, the busy child ends too, even if stopped."""
    long = small_request(num_inference_steps=200, size="160x128", num_frames=61).model_dump_json()
    code = f"""
import pathlib, threading
from functions.shared.video.progress import Stage
from functions.generate.engine.parent.engine import Engine
from functions.shared.video.requests import ResolvedRequest
from tests.demo_engine import pids_of

def on_progress(progress):
    if progress.stage == Stage.DENOISING and progress.done == 1:
        print(*pids_of(engine), flush=True)

engine = Engine({str(DEMO)!r}, hang_seconds=600)
engine.start()
assert engine.wait({START_SECONDS}), engine.failure
request = ResolvedRequest.model_validate_json({long!r})
engine.render(request, "v", pathlib.Path({str(tmp_path)!r}), on_progress, threading.Event())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        line = parent.stdout.readline()
        assert re.fullmatch(r"\d+\n", line)
        child = psutil.Process(int(line))
        child.suspend()
        parent.kill()
        child.wait(scaled(10))


@pytest.mark.usefixtures("forked_engines")
def test_a_load_that_times_out_is_retried() -> None:
    """The processes are killed and replaced, and the timeout is reported meanwhile."""
    engine = Engine(str(DEMO), hang_seconds=HANG_SECONDS, load_seconds=0.1)
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        assert engine.failure.startswith("The engine was not ready after 0.1 seconds.")
    finally:
        engine.close()


@pytest.mark.usefixtures("forked_engines")
def test_a_checkpoint_that_does_not_load_is_a_failure(tmp_path: Path) -> None:
    """An error found only while loading is one line too, and the engine never becomes ready."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "model"))
    config = json.loads((folder / "transformer" / "config.json").read_text())
    (folder / "transformer" / "config.json").write_text(
        json.dumps(config | {"attention_head_dim": 8})
    )
    engine = Engine(str(folder), hang_seconds=HANG_SECONDS)
    engine.start()
    try:
        assert not engine.wait(START_SECONDS)
        assert engine.failure is not None
        assert engine.failure.startswith(f"{folder / 'transformer'}: the tensor ")
        assert "\n" not in engine.failure
        assert not engine.ready
    finally:
        engine.close()

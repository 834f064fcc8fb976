"""A rank's process whose device is lost."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from functions.generate.engine import child
from functions.generate.engine.messages import EngineConfig, ModelLoaded, RenderJob
from functions.generate.engine.model import serving
from functions.generate.engine.model.gpu import DeviceLost
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest
from tests.patience import scaled

CONFIG = EngineConfig("unused", ranks=1, compiled=None, warm_up=())
REQUEST = ResolvedRequest.resolve(VideoRequest(prompt="x"), load_profile("demo"), "a", "v")

LOADED = ModelLoaded("abc")


class _LostRenderer:
    """A renderer whose GPU is gone."""

    def find_warnings(self, _: Any) -> tuple[()]:
        return ()

    def render(self, *_: Any) -> None:
        raise DeviceLost


def test_a_process_whose_device_is_lost_exits(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could only fail every later video; its parent replaces it."""
    monkeypatch.setattr(serving, "load_renderer", lambda *_: (_LostRenderer(), LOADED))
    context = multiprocessing.get_context("fork")  # inherits the patched module
    ours, theirs = context.Pipe()
    process = context.Process(target=child.main, args=(theirs, CONFIG, 0, Path("unused")))
    process.start()
    assert ours.recv() == LOADED
    ours.send(RenderJob(REQUEST, "video_1", Path("unused")))
    process.join(scaled(30))
    assert process.exitcode == 1

"""A process of the engine, as its parent sees it."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from functions.generate.engine import child
from functions.generate.engine.messages import Loaded, Order, Plan
from functions.generate.engine.model.devices import DeviceLost
from functions.shared.video.profiles import load_profile
from functions.shared.video.requests import ResolvedRequest, VideoRequest

PLAN = Plan("unused", ranks=1, compiled=None, warm_up=())
REQUEST = ResolvedRequest.resolve(VideoRequest(prompt="x"), load_profile("demo"), "a", "v")


class _Lost:
    """A renderer whose GPU has gone."""

    model_revision = "abc"

    def render(self, *_: Any) -> None:
        raise DeviceLost


def test_a_process_whose_device_is_lost_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could only fail every other video; its parent starts another one."""
    monkeypatch.setattr(child, "_load", lambda *_: _Lost())
    context = multiprocessing.get_context("fork")  # takes the renderer along
    ours, theirs = context.Pipe()
    process = context.Process(target=child.main, args=(theirs, PLAN, 0, Path("unused")))
    process.start()
    assert ours.recv() == Loaded("abc")
    ours.send(Order(REQUEST, "video_1", Path("unused")))
    process.join(30)
    assert process.exitcode == 1

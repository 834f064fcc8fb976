"""Engine processes that are forked from one that has imported torch.

The product starts each of them anew, because CUDA does not survive a fork, and so do the stacks of
tests. Then imports take five of the six seconds of processor time until the demo model is ready.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from types import SimpleNamespace
from unittest import mock

import psutil
import pytest

from functions.generate.engine.parent import rank_process
from local.stack import ROOT

_IMPORTED = [
    f"functions.generate.engine.model.{name}" for name in ("mochi", "ranks", "rendering", "warmup")
]
# As `serving.load_renderer` sets them before it imports torch.
_VARIABLES = {"OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


@cache
def context() -> ForkServerContext:
    """Starts processes that have imported torch already; they end with this one."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(_IMPORTED)
    with mock.patch.dict(os.environ, _VARIABLES):
        forkserver.ensure_running()
    return found


def forked_processes() -> set[psutil.Process]:
    """Those that were started so, and have not exited."""
    context()
    server = psutil.Process(forkserver._forkserver._forkserver_pid)  # type: ignore[attr-defined]
    return {child for child in server.children() if child.status() != psutil.STATUS_ZOMBIE}


@contextmanager
def forked_engines() -> Iterator[None]:
    """Engines that are started in this time start their processes so."""
    with pytest.MonkeyPatch.context() as patch:
        forking = SimpleNamespace(get_context=lambda _: context())
        patch.setattr(rank_process, "multiprocessing", forking)
        yield

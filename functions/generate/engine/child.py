"""The entry point of a rank's process.

The parent imports this module to name `main`, so `model` is imported only when `main` runs.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Final

from functions.generate.engine.messages import EngineConfig
from functions.shared.config import load_settings
from functions.shared.logs import configure_logging

_PR_SET_PDEATHSIG: Final = 1  # from linux/prctl.h


def main(connection: Connection, config: EngineConfig, rank: int, rendezvous: Path) -> None:
    """Run `model.serving.serve` in a process that exits with its parent and only then."""
    # Ctrl-C in a terminal and SIGTERM to the process group reach this process too. Only the parent
    # decides when it exits, so that a draining server can finish its video.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _die_with_parent()
    threading.Thread(target=_exit_with_parent, name="exit-with-parent", daemon=True).start()
    configure_logging("generate", load_settings().log_format)

    from functions.generate.engine.model import serving  # noqa: PLC0415 - not in the parent

    serving.serve(connection, config, rank, rendezvous)


def _die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, even while it is stopped (Linux).

    The parent is the thread that started it: the supervisor's, which outlives its processes.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _exit_with_parent() -> None:
    """Exit as soon as the parent has, whatever the main thread is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # a regular exit would wait for the main thread

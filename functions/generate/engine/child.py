"""The entry point of a rank's process.

The parent imports this module to name `main`, so `model` is imported only when `main` runs.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path

from functions.generate.engine.messages import EngineConfig


def main(connection: Connection, config: EngineConfig, rank: int, rendezvous: Path) -> None:
    """Run `model.serving.serve` in a process that exits with its parent and only then."""
    # Ctrl-C in a terminal and SIGTERM to the process group reach this process too. Only the parent
    # decides when it exits, so that a draining server can finish its video.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, name="exit-with-parent", daemon=True).start()
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("functions").setLevel(logging.INFO)  # logs the device and the kernel in use

    from functions.generate.engine.model import serving  # noqa: PLC0415 - not in the parent

    serving.serve(connection, config, rank, rendezvous)


def _exit_with_parent() -> None:
    """Exit as soon as the parent has, whatever the main thread is doing."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)  # a regular exit would wait for the main thread

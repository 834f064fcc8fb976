"""How many processes make a video together: one for each GPU, found without importing torch."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

# What the drivers of NVIDIA leave in a system, or a container, that has a GPU.
_SIGNS: Final = ("nvidia[0-9]*", "dxg")
# Guidance has two branches. To share one of them, the video itself would have to be divided.
MAX_RANKS: Final = 2


class TooManyRanks(Exception):
    """There is no way to share the work among so many; the message is one line."""


def choose_ranks(asked: int | None, devices: Path = Path("/dev")) -> int:
    """How many processes make a video together.

    Args:
        asked: by the operator; None for one for each GPU that can be seen, or one on a CPU.
        devices: where the system has its devices.

    Raises:
        TooManyRanks: more than there are branches.
    """
    count = max(1, _visible_gpus(devices)) if asked is None else asked
    if count > MAX_RANKS:
        found = f"{count} GPUs are visible" if asked is None else f"ENGINE_RANKS is {count}"
        raise TooManyRanks(
            f"{found}, and a video is made by at most {MAX_RANKS} processes, one for each branch "
            f"of its guidance. Set ENGINE_RANKS to 1 or {MAX_RANKS}, and give other replicas the "
            "other GPUs."
        )
    return count


def _visible_gpus(devices: Path) -> int:
    """Ask torch, which knows what it can use, in a process of its own, which may hold CUDA."""
    if not any(path for sign in _SIGNS for path in devices.glob(sign)):
        return 0
    code = "import torch; print(torch.cuda.device_count())"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count = int(asked.stdout)
    if not count:
        _log.warning("There is a GPU here that torch can't use")
    return count

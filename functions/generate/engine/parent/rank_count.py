"""How many ranks render a video together: one per GPU, counted without importing torch here."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

# Device files that NVIDIA's drivers create on a system, or in a container, with a GPU.
_GPU_DEVICE_FILES: Final = ("nvidia[0-9]*", "dxg")
# Guidance has two branches. Splitting one of them would mean splitting the video itself.
MAX_RANKS: Final = 2


class TooManyRanks(Exception):
    """A video can't be split among this many ranks; the message is one line."""


def choose_rank_count(requested: int | None, devices: Path = Path("/dev")) -> int:
    """How many ranks render a video together.

    Args:
        requested: the operator's choice; None for one per visible GPU, or one on a CPU.
        devices: the system's folder of device files.

    Raises:
        TooManyRanks: there would be more ranks than guidance branches.
    """
    count = max(1, _count_gpus(devices)) if requested is None else requested
    if count > MAX_RANKS:
        cause = f"{count} GPUs are visible" if requested is None else f"ENGINE_RANKS is {count}"
        raise TooManyRanks(
            f"{cause}, but at most {MAX_RANKS} processes can render a video together, one per "
            f"branch of its guidance. Set ENGINE_RANKS to 1 or {MAX_RANKS}, and give the other "
            "GPUs to other replicas."
        )
    return count


def _count_gpus(devices: Path) -> int:
    """Ask torch how many GPUs it can use, in a separate process, because it may initialize CUDA."""
    if not any(path for pattern in _GPU_DEVICE_FILES for path in devices.glob(pattern)):
        return 0
    code = "import torch; print(torch.cuda.device_count())"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    count = int(result.stdout)
    if not count:
        _log.warning("This machine has a GPU that torch can't use")
    return count

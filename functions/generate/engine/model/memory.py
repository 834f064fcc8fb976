"""Peak memory use, and whether an error means out of memory."""

from __future__ import annotations

import re
from pathlib import Path

import torch


class PeakMemory:
    """Measures peak memory on `device`.

    On a GPU: memory allocated by torch. On a CPU: the process's resident memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def reset(self) -> None:
        """Start a new measurement."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            # Writing 5 resets the peak, see proc_pid_clear_refs(5). Exists on Linux only.
            try:
                Path("/proc/self/clear_refs").write_text("5")
            except OSError:
                return

    def peak_bytes(self) -> int | None:
        """The peak since the last `reset`; None where the system does not report it."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) << 10 if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that a device, of any kind, is out of memory."""
    # On a CPU torch raises a plain RuntimeError; on a GPU so do CUDA itself, cuBLAS and NCCL.
    texts = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    )

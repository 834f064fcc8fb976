"""How much memory a stage needed at its peak, and whether there was too little."""

from __future__ import annotations

import re
from pathlib import Path

import torch


class PeakMemory:
    """Counts the most memory in use on `device`.

    Of a GPU that is what torch's allocator gave out, of a CPU what the process had in RAM.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def reset(self) -> None:
        """Count from now on."""
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        else:
            # See proc_pid_clear_refs(5): 5 resets the peak. Only Linux has it.
            try:
                Path("/proc/self/clear_refs").write_text("5")
            except OSError:
                return

    def bytes(self) -> int | None:
        """The peak since the last `reset`; None where the system does not tell."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        try:
            status = Path("/proc/self/status").read_text()
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(found[1]) << 10 if found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that memory was not enough, on whichever device."""
    # On the CPU torch raises a plain RuntimeError; so do CUDA itself, cuBLAS and NCCL on a GPU.
    texts = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in texts)
    )

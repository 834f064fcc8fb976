"""The processes that make one video together, as each of them sees the others."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
from collections.abc import Callable, Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor

from functions.generate.engine.model.memory import is_out_of_memory
from functions.shared.errors import AttemptFailed, RenderCancelled

# The parent ends ranks that wait too long for each other (HANG_SECONDS, LOAD_SECONDS), before this.
PATIENCE: Final = dt.timedelta(hours=6)


class PeerFailed(AttemptFailed):
    """Another process of the engine failed; its log says more."""


class TooFewDevices(Exception):
    """Two ranks would have to share a GPU, which has no room for two models."""


class _Fate(IntEnum):
    """What became of a rank's part, as the ranks tell each other; the worst counts."""

    FINE = 0
    CANCELLED = 1
    FAILED = 2
    OUT_OF_MEMORY = 3


class Ranks:
    """A group of processes, of which this is number `rank`. One of one needs no other.

    Every rank must come to the same calls in the same order.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank: Final = rank
        self.size: Final = size

    @classmethod
    def join(cls, rank: int, size: int, folder: Path) -> Ranks:
        """Meet the other `size - 1` ranks in `folder`, which is theirs alone, and wait for them.

        Tensors on GPUs travel by NCCL, those on the CPU by gloo; neither is reachable from outside
        of this machine.

        Raises:
            TooFewDevices: there are GPUs, but not one for each rank.
        """
        gpus = torch.cuda.device_count()
        if 0 < gpus < size:
            raise TooFewDevices(f"ENGINE_RANKS is {size}, and the GPUs that can be used are {gpus}")
        if size > 1:
            loopback = next(n for _, n in socket.if_nameindex() if n.startswith("lo"))
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if gpus else "gloo",
                init_method=(folder / "ranks").as_uri(),
                rank=rank,
                world_size=size,
                timeout=PATIENCE,
            )
        return cls(rank, size)

    def spread(self, compute: Callable[[int], Tensor], parts: int) -> list[Tensor]:
        """`compute(0)` to `compute(parts - 1)`, each on the rank of that number, for every rank.

        Without a rank for each part, every rank computes all of them, one after the other.

        Raises:
            PeerFailed: another rank could not compute its part.
        """
        if self.size == 1 or parts != self.size:
            with self.together():
                return [compute(part) for part in range(parts)]
        with self.together():
            mine = compute(self.rank).contiguous()
        results = [torch.empty_like(mine) for _ in range(parts)]
        dist.all_gather(results, mine)
        return results

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Every rank comes to the end of this block, or every rank leaves it with an exception.

        Without it, a rank that fails would leave the others waiting for what it was to send.

        Raises:
            RenderCancelled: in another rank.
            MemoryError: another rank ran out of memory.
            PeerFailed: another rank failed in another way.
        """
        try:
            yield
        except Exception as error:
            self._tell(_fate_of(error))
            raise
        worst = self._tell(_Fate.FINE)
        if worst is _Fate.CANCELLED:
            raise RenderCancelled
        if worst is _Fate.OUT_OF_MEMORY:
            raise MemoryError
        if worst is _Fate.FAILED:
            raise PeerFailed

    def _tell(self, fate: _Fate) -> _Fate:
        if self.size == 1:
            return fate
        worst = torch.tensor(int(fate))
        dist.all_reduce(worst, dist.ReduceOp.MAX)
        return _Fate(int(worst))


def _fate_of(error: Exception) -> _Fate:
    if isinstance(error, RenderCancelled):
        return _Fate.CANCELLED
    return _Fate.OUT_OF_MEMORY if is_out_of_memory(error) else _Fate.FAILED

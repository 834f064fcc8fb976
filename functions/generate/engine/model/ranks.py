"""The ranks that render a video together, as each of them sees the group."""

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

# Longer than the parent's own timeouts (HANG_SECONDS, LOAD_SECONDS), after which it kills ranks
# that wait for each other.
COLLECTIVE_TIMEOUT: Final = dt.timedelta(hours=6)


class PeerFailed(AttemptFailed):
    """Another process of the engine failed; its log says more."""


class TooFewGpus(Exception):
    """Two ranks would have to share a GPU, which has no room for two models."""


class _Outcome(IntEnum):
    """How a rank's part of the work ended. The ranks agree on the highest value."""

    SUCCEEDED = 0
    CANCELLED = 1
    FAILED = 2
    OUT_OF_MEMORY = 3


class Ranks:
    """A group of `size` processes, of which this one is number `rank`.

    Its methods are collective: every rank must make the same calls in the same order.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank: Final = rank
        self.size: Final = size

    @classmethod
    def join(cls, rank: int, size: int, rendezvous: Path) -> Ranks:
        """Wait for the other ranks in `rendezvous`, a folder that only this group uses.

        Tensors on GPUs are exchanged over NCCL, those on the CPU over gloo. Neither can be reached
        from other machines.

        Raises:
            TooFewGpus: there are GPUs, but not one for each rank.
        """
        gpus = torch.cuda.device_count()
        if 0 < gpus < size:
            raise TooFewGpus(f"ENGINE_RANKS is {size}, but torch can use only {gpus} GPU")
        if size > 1:
            loopback = next(n for _, n in socket.if_nameindex() if n.startswith("lo"))
            os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", loopback)
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if gpus else "gloo",
                init_method=(rendezvous / "ranks").as_uri(),
                rank=rank,
                world_size=size,
                timeout=COLLECTIVE_TIMEOUT,
            )
        return cls(rank, size)

    def all_gather(self, compute: Callable[[int], Tensor], parts: int) -> list[Tensor]:
        """`compute(0)` to `compute(parts - 1)`, on every rank.

        With as many ranks as parts, each rank computes one part, and the results are exchanged.
        Otherwise, every rank computes all parts, one after another.

        Raises:
            PeerFailed: another rank could not compute its part.
        """
        if self.size == 1 or parts != self.size:
            with self.failing_together():
                return [compute(part) for part in range(parts)]
        with self.failing_together():
            own = compute(self.rank).contiguous()
        results = [torch.empty_like(own) for _ in range(parts)]
        dist.all_gather(results, own)
        return results

    def share_first(self, value: int) -> int:
        """The first rank's `value`, on every rank."""
        shared = torch.tensor(value)
        if self.size > 1:
            dist.broadcast(shared, src=0)
        return int(shared)

    @contextlib.contextmanager
    def failing_together(self) -> Iterator[None]:
        """Either every rank completes this block, or every rank leaves it with an exception.

        Otherwise, when one rank fails, the others would wait for data that it never sends.

        Raises:
            RenderCancelled: raised on another rank.
            MemoryError: another rank ran out of memory.
            PeerFailed: another rank failed in some other way.
        """
        try:
            yield
        except Exception as error:
            self._agree_on_outcome(_outcome_of(error))
            raise
        worst = self._agree_on_outcome(_Outcome.SUCCEEDED)
        if worst is _Outcome.CANCELLED:
            raise RenderCancelled
        if worst is _Outcome.OUT_OF_MEMORY:
            raise MemoryError
        if worst is _Outcome.FAILED:
            raise PeerFailed

    def _agree_on_outcome(self, outcome: _Outcome) -> _Outcome:
        """Exchange outcomes; return the worst."""
        if self.size == 1:
            return outcome
        worst = torch.tensor(int(outcome))
        dist.all_reduce(worst, dist.ReduceOp.MAX)
        return _Outcome(int(worst))


def _outcome_of(error: Exception) -> _Outcome:
    if isinstance(error, RenderCancelled):
        return _Outcome.CANCELLED
    return _Outcome.OUT_OF_MEMORY if is_out_of_memory(error) else _Outcome.FAILED

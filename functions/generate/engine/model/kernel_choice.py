"""Chooses the attention kernel when the engine starts: by its results, then by its speed."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Final

import torch

from functions.generate.engine.model.attention_kernels import AttentionKernel, install
from functions.generate.engine.model.attention_probe import (
    Attention,
    find_problem,
    measure_milliseconds,
)
from functions.generate.engine.model.ranks import Ranks

_log = logging.getLogger(__name__)

# By preference. A CPU has one kernel besides math, so its choice does not depend on a time.
CANDIDATES: Final = {
    "cuda": (
        AttentionKernel.CUDNN,
        AttentionKernel.FLASH3,
        AttentionKernel.FLASH,
        AttentionKernel.EFFICIENT,
    ),
    "cpu": (AttentionKernel.FLASH,),
}
# A kernel replaces one that is preferred to it only if it is faster by this much: times that vary
# by less make the same choice at each start, and the same frames.
MARGIN: Final = 0.05


class UnusableKernel(Exception):
    """A kernel that this rank has to use gives wrong results here, or none."""


@dataclass(frozen=True)
class KernelChoice:
    """The kernel that all ranks use.

    Attributes:
        kernel: is installed in this process.
        milliseconds: of one call; None if it was not timed, as on all ranks but the first.
        rejected: why each other candidate was not chosen, by its name.
    """

    kernel: AttentionKernel
    milliseconds: float | None = None
    rejected: dict[str, str] = field(default_factory=dict)


def choose_kernel(
    attention: Attention, ranks: Ranks, forced: AttentionKernel | None = None
) -> KernelChoice:
    """The first rank's choice, installed and checked on each rank. All ranks call this together.

    Args:
        attention: what to compute.
        ranks: the processes that render together.
        forced: the kernel to use whatever its speed.

    Raises:
        UnusableKernel: the kernel that is forced, or that the first rank has chosen, gives wrong
            results here, or none.
        PeerFailed: so it is on another rank.
    """
    names = list(AttentionKernel)
    with torch.no_grad(), ranks.failing_together():
        choice = _choose(attention, forced) if ranks.rank == 0 else None
    shared = ranks.share_first(names.index(choice.kernel) if choice else 0)
    with torch.no_grad(), ranks.failing_together():
        if choice is None:
            choice = KernelChoice(names[shared])
            problem = find_problem(choice.kernel, attention)
            if problem is not None:
                raise UnusableKernel(f"the attention kernel {choice.kernel} is {problem} here")
        install(choice.kernel)
    return choice


def _choose(attention: Attention, forced: AttentionKernel | None) -> KernelChoice:
    if forced is not None:
        problem = find_problem(forced, attention)
        if problem is not None:
            raise UnusableKernel(f"ENGINE_ATTENTION is {forced}, which is {problem} here")
        return KernelChoice(forced, measure_milliseconds(forced, attention))
    rejected, timed = dict[str, str](), dict[AttentionKernel, float]()
    for kernel in CANDIDATES[attention.device.type]:
        problem = find_problem(kernel, attention)
        if problem is None:
            timed[kernel] = measure_milliseconds(kernel, attention)
        else:
            rejected[kernel.value] = problem
    best = fastest(timed)
    rejected |= {one.value: f"slower: {ms:.3g} ms" for one, ms in timed.items() if one != best}
    choice = KernelChoice(best, timed.get(best), rejected)
    _log.info("attention kernel: %s", choice)
    return choice


def fastest(timed: dict[AttentionKernel, float]) -> AttentionKernel:
    """The fastest of `timed`, in order of preference and by more than `MARGIN`; else math."""
    best, least = AttentionKernel.MATH, math.inf
    for kernel, milliseconds in timed.items():
        if milliseconds < least * (1 - MARGIN):
            best, least = kernel, milliseconds
    return best

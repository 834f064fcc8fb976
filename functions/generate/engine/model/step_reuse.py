"""Quality `fast`: reuses what most blocks computed, while the first one changes little.

Known as first-block caching. The first block runs in every step. While what it adds to the video
stays close to what it added in the last step that was computed whole, the other blocks do not run:
the sum of what they added then is added again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.split_transformer import AfterFirstBlock, SplitTransformer
from functions.generate.engine.model.text_encoder import EncodedPrompt


@dataclass
class StepCounts:
    """How many steps of a video were computed whole, and how many reused an earlier one."""

    computed: int = 0
    reused: int = 0


@dataclass
class _Branch:
    """Of the last step that was computed whole: what the first block added, and what the others."""

    first: Tensor | None = None
    others: Tensor | None = None


@dataclass
class StepReuse:
    """Predicts the branches of the steps of one video, in order.

    Attributes:
        transformer: a `MochiTransformer3DModel` with dense attention.
        ranks: the processes that share the branches.
        max_change: the relative change of what the first block adds, from which on a step is
            computed whole; at 0, all are, and the predictions are exact.
        counts: updated with every step.
    """

    transformer: Any
    ranks: Ranks
    max_change: float
    counts: StepCounts
    _branches: dict[int, _Branch] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._split = SplitTransformer(self.transformer)

    def predict(
        self, latents: Tensor, timestep: Tensor, prompts: Sequence[EncodedPrompt]
    ) -> list[Tensor]:
        """As `GuidanceBranches.predict`: all branches are reused, or none, on every rank."""
        begun: dict[int, AfterFirstBlock] = {}

        def begin(branch: int) -> Tensor:
            begun[branch] = self._split.begin(latents, timestep, prompts[branch])
            return self._change(branch, begun[branch].added)

        # The ranks decide from the same numbers, and exchange as much whatever they decide, so that
        # neither ever waits for the other.
        changes = self.ranks.all_gather(begin, len(prompts))
        # False for a NaN as well.
        reuse = bool(torch.cat(changes).max() < self.max_change)
        predictions = self.ranks.all_gather(
            lambda branch: self._complete(branch, begun[branch], latents, reuse=reuse), len(prompts)
        )
        self.counts.reused += reuse
        self.counts.computed += not reuse
        return predictions

    def _change(self, branch: int, added: Tensor) -> Tensor:
        """One number: how far what the first block adds is from the last whole step's."""
        before = self._branches.setdefault(branch, _Branch()).first
        if before is None:
            return torch.full((1,), torch.inf, device=added.device)
        difference = (added - before).abs().mean(dtype=torch.float32)
        return (difference / before.abs().mean(dtype=torch.float32))[None]

    def _complete(
        self, branch: int, begun: AfterFirstBlock, latents: Tensor, *, reuse: bool
    ) -> Tensor:
        kept = self._branches[branch]
        if reuse and kept.others is not None:
            video = begun.video + kept.others
        else:
            video = self._split.run_other_blocks(begun)
            kept.first, kept.others = begun.added, video - begun.video
        return self._split.finish(video, begun, latents)

"""The branches of classifier-free guidance, each with batch size 1 and its own text length.

A stock pipeline sends both branches through the transformer as one batch, with the text padded to
256 tokens. Separate branches can be computed on two devices, with bit-identical results.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from functions.generate.engine.model.attention import use_dense_attention
from functions.generate.engine.model.attention_kernels import AttentionKernel
from functions.generate.engine.model.ranks import Ranks
from functions.generate.engine.model.step_reuse import StepCounts, StepReuse
from functions.generate.engine.model.text_encoder import EncodedPrompt
from functions.shared.video.profiles import FastMode


class GuidanceBranches:
    """Computes a transformer's predictions, a branch on each rank, or all on the only one.

    Args:
        transformer: a `MochiTransformer3DModel`; its attention is replaced by the dense one.
        kernel: the attention kernel to use.
        ranks: the processes that share the branches.
    """

    def __init__(self, transformer: Any, kernel: AttentionKernel, ranks: Ranks) -> None:
        use_dense_attention(transformer, kernel)
        self._transformer = transformer
        self._ranks = ranks

    def predict(
        self, latents: Tensor, timestep: Tensor, prompts: Sequence[EncodedPrompt]
    ) -> list[Tensor]:
        """The prediction for each of `prompts`, in their order, on every rank.

        Args:
            latents: 1 x channels x frames x height x width, of any data type.
            timestep: a scalar.
            prompts: one a branch.

        Raises:
            PeerFailed: another rank could not compute its branch.
        """
        dtype = self._transformer.dtype
        inputs = latents.to(dtype)

        def predict_branch(branch: int) -> Tensor:
            prediction: Tensor = self._transformer(
                hidden_states=inputs,
                encoder_hidden_states=prompts[branch].embeddings.to(dtype),
                timestep=timestep.expand(1),
                encoder_attention_mask=prompts[branch].mask,
                return_dict=False,
            )[0]
            return prediction

        return self._ranks.all_gather(predict_branch, len(prompts))

    def reusing(self, fast: FastMode, counts: StepCounts) -> StepReuse:
        """What predicts in place of this for one video of quality `fast`."""
        return StepReuse(self._transformer, self._ranks, fast.max_change, counts)

"""Classifier-free guidance, one branch at a time, each with batch size 1 and its own text length.

A stock pipeline sends both branches through the transformer as one batch, with the text padded to
256 tokens. Separate branches can be computed on two devices, with bit-identical results.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from functions.generate.engine.model.attention import AttentionKernel, use_dense_attention
from functions.generate.engine.model.ranks import Ranks


class GuidedTransformer(nn.Module):
    """Replaces the transformer of a `MochiPipeline`, and computes a batch branch by branch.

    Latents, timesteps and text may be fp32: they are cast to the transformer's data type here, and
    the pipeline's own arithmetic on latents keeps their precision.

    Args:
        transformer: a `MochiTransformer3DModel`; its attention is replaced by the dense one.
        kernel: the attention kernel to use.
        ranks: the processes that share the branches.
    """

    def __init__(self, transformer: nn.Module, kernel: AttentionKernel, ranks: Ranks) -> None:
        super().__init__()
        use_dense_attention(transformer, kernel)
        self.transformer = transformer
        self._ranks = ranks

    @property
    def config(self) -> Any:
        """The transformer's configuration, which the pipeline reads."""
        return self.transformer.config

    @property
    def dtype(self) -> torch.dtype:
        """The data type of the transformer's computation."""
        dtype: torch.dtype = self.transformer.dtype  # type: ignore[assignment]  # of a ModelMixin
        return dtype

    @property
    def device(self) -> torch.device:
        """The transformer's device, which the pipeline reads."""
        return next(self.transformer.parameters()).device

    def cache_context(self, name: str) -> Any:
        """The transformer's own; the pipeline enters it around each call."""
        return self.transformer.cache_context(name)  # type: ignore[operator]  # of a CacheMixin

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        encoder_attention_mask: Tensor,
        attention_kwargs: dict[str, Any] | None = None,  # noqa: ARG002 - the pipeline's None
        return_dict: bool = False,  # noqa: ARG002 - the pipeline's False
    ) -> tuple[Tensor]:
        """The predictions of all branches, on every rank.

        Args:
            hidden_states: latents, branches x channels x frames x height x width.
            encoder_hidden_states: text, branches x tokens x width, padded at the end.
            timestep: one per branch.
            encoder_attention_mask: branches x tokens, true for valid tokens.
            attention_kwargs: ignored.
            return_dict: ignored.

        Raises:
            PeerFailed: another rank could not compute its branch.
        """

        def predict(branch: int) -> Tensor:
            one = slice(branch, branch + 1)
            prediction: Tensor = self.transformer(
                hidden_states=hidden_states[one].to(self.dtype),
                encoder_hidden_states=encoder_hidden_states[one].to(self.dtype),
                timestep=timestep[one],
                encoder_attention_mask=encoder_attention_mask[one],
                return_dict=False,
            )[0]
            return prediction

        return (torch.cat(self._ranks.all_gather(predict, hidden_states.shape[0])),)

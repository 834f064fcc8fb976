"""Classifier-free guidance, a branch at a time: each with the batch size, and the text, of one.

A stock pipeline sends both branches through the transformer as one batch, padded to 256 tokens of
text. One at a time they can be spread over two devices, and give the same bits there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from functions.generate.engine.model.attention import Kernel, use_dense_attention
from functions.generate.engine.model.ranks import Ranks


class GuidedTransformer(nn.Module):
    """Stands where a `MochiPipeline` has its transformer, and computes a batch branch by branch.

    Latents, timesteps and text may be fp32: they are cast to the transformer's own type on the way
    in, and the pipeline's arithmetic on latents stays in theirs.

    Args:
        transformer: a `MochiTransformer3DModel`; its attention is replaced by the dense one.
        kernel: which attention kernel to use.
        ranks: who computes which branch.
    """

    def __init__(self, transformer: nn.Module, kernel: Kernel, ranks: Ranks) -> None:
        super().__init__()
        use_dense_attention(transformer, kernel)
        self.inner = transformer
        self._ranks = ranks

    @property
    def config(self) -> Any:
        """The transformer's configuration, which the pipeline asks for."""
        return self.inner.config

    @property
    def dtype(self) -> torch.dtype:
        """What the transformer computes in."""
        dtype: torch.dtype = self.inner.dtype  # type: ignore[assignment]  # of a ModelMixin
        return dtype

    @property
    def device(self) -> torch.device:
        """Where the transformer is, which the pipeline asks for."""
        return next(self.inner.parameters()).device

    def cache_context(self, name: str) -> Any:
        """Asked for by the pipeline around each call."""
        return self.inner.cache_context(name)  # type: ignore[operator]  # of a CacheMixin

    def forward(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        encoder_attention_mask: Tensor,
        attention_kwargs: dict[str, Any] | None = None,  # noqa: ARG002 - the pipeline's None
        return_dict: bool = False,  # noqa: ARG002 - the pipeline's False
    ) -> tuple[Tensor]:
        """The prediction of every branch, on every rank.

        Args:
            hidden_states: latents, branches x channels x frames x height x width.
            encoder_hidden_states: text, branches x tokens x width, padded at its end.
            timestep: one a branch.
            encoder_attention_mask: branches x tokens, true where the text is.
            attention_kwargs: not looked at.
            return_dict: not looked at.

        Raises:
            PeerFailed: another rank could not compute its branch.
        """

        def predict(branch: int) -> Tensor:
            one = slice(branch, branch + 1)
            prediction: Tensor = self.inner(
                hidden_states=hidden_states[one].to(self.dtype),
                encoder_hidden_states=encoder_hidden_states[one].to(self.dtype),
                timestep=timestep[one],
                encoder_attention_mask=encoder_attention_mask[one],
                return_dict=False,
            )[0]
            return prediction

        return (torch.cat(self._ranks.spread(predict, hidden_states.shape[0])),)

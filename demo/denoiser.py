"""Train transformer and text encoder jointly: flow matching on latents, with prompt dropout."""

from __future__ import annotations

import math
import random
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, pad
from tqdm import tqdm  # type: ignore[import-untyped]

from demo.components import lowercase_tokens
from demo.latent_basis import LatentBasis
from demo.precision import autocast
from demo.prompts import training_prompt
from demo.scenes import Scene
from demo.training_data import latent_batches

# Learning rate of the blocks' matrices, with orthogonalized updates (Jordan, 2024: Muon); 0.015 and
# 0.03 do about as well in 500 steps. And of all other parameters, with AdamW.
_MATRIX_RATE: Final = 0.02
_RATE: Final = 1.5e-3
# Warm-up steps, and their largest share of a short run.
_WARM_UP: Final = 150
_WARM_UP_SHARE: Final = 0.1
# The cosine decay is stretched by this factor, so that rates end at a tenth, as is usual.
_COSINE: Final = 1.25
# Tokens of video in a batch: seven of the longest common clips, or 64 of the shortest.
_TOKENS: Final = 2048
# Share of empty prompts, for classifier-free guidance: 10 % as in Ho and Salimans, 2022.
_PROMPT_DROPOUT: Final = 0.1
# Longer than any training prompt; padding is masked.
_TEXT_TOKENS: Final = 48
# The weights that are kept are a moving average over the last thousand steps, or over a quarter of
# a short run: those of single steps are as noisy as their batches.
_AVERAGE: Final = 0.999
_AVERAGE_SHARE: Final = 0.25
# Weight of the newest loss in the running mean that is displayed.
_DISPLAY_WEIGHT: Final = 0.01


class MaskedAttention:
    """A processor for `MochiAttention` that handles texts of different lengths in one batch.

    The one of diffusers loops over the samples.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor,
        image_rotary_emb: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor]:
        """The same as diffusers' `MochiAttnProcessor2_0`, up to rounding."""
        text, tokens = encoder_hidden_states, hidden_states.shape[1]
        query = _rotated(attn.norm_q(_heads(attn, attn.to_q(hidden_states))), *image_rotary_emb)
        key = _rotated(attn.norm_k(_heads(attn, attn.to_k(hidden_states))), *image_rotary_emb)
        value = _heads(attn, attn.to_v(hidden_states))
        queries = [query, attn.norm_added_q(_heads(attn, attn.add_q_proj(text)))]
        keys = [key, attn.norm_added_k(_heads(attn, attn.add_k_proj(text)))]
        values = [value, _heads(attn, attn.add_v_proj(text))]
        query, key, value = (
            torch.cat(both, 1).transpose(1, 2).to(text.dtype) for both in (queries, keys, values)
        )
        # Written out: on CPUs, the backward pass of torch's own attention takes ten times as long.
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(2, 3)
        valid = pad(attention_mask, (tokens, 0), value=True)[:, None, None, :]
        attended = scores.masked_fill(~valid, float("-inf")).softmax(-1).to(value.dtype) @ value
        joined = attended.transpose(1, 2).flatten(2, 3)
        video, text = joined[:, :tokens], joined[:, tokens:] * attention_mask[..., None]
        return attn.to_out[0](video), attn.to_add_out(text) if hasattr(attn, "to_add_out") else text


def train(pipeline: Any, basis: LatentBasis, steps: int, seed: int, tokens: int = _TOKENS) -> None:
    """Train `pipeline.transformer` and `pipeline.text_encoder` in place, on latents of `basis`.

    Each step's batch has about `tokens` tokens of video.
    """
    torch.manual_seed(seed)
    rng, drawn = random.Random(seed), latent_batches(basis, tokens, seed)
    parts = nn.ModuleList([pipeline.transformer, pipeline.text_encoder]).train()
    processors = [block.attn1.processor for block in pipeline.transformer.transformer_blocks]
    for block in pipeline.transformer.transformer_blocks:
        block.attn1.processor = MaskedAttention()
    decay = min(_AVERAGE, max(0.0, 1 - 1 / (_AVERAGE_SHARE * steps)))
    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]  # torch's types lack it
    average = torch.optim.swa_utils.AveragedModel(parts, multi_avg_fn=averaging)
    optimizers = _optimizers(pipeline)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        for optimizer in optimizers
    ]
    progress, recent = tqdm(range(steps), desc="transformer"), 0.0
    for step in progress:
        loss = flow_loss(pipeline, *next(drawn), rng)
        parts.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's types lack it
        nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        for schedule in schedules:
            schedule.step()
        average.update_parameters(parts)
        recent += (loss.item() - recent) * max(_DISPLAY_WEIGHT, 1 / (step + 1))
        progress.set_postfix(loss=f"{recent:.4f}", refresh=False)
    parts.load_state_dict(average.module.state_dict())
    parts.eval()
    for block, processor in zip(pipeline.transformer.transformer_blocks, processors, strict=True):
        block.attn1.processor = processor
    _share_embeddings(pipeline)


def _optimizers(pipeline: Any) -> list[torch.optim.Optimizer]:
    blocks = pipeline.transformer.transformer_blocks
    matrices = [parameter for parameter in blocks.parameters() if parameter.dim() == 2]  # noqa: PLR2004 - a matrix
    those = {id(matrix) for matrix in matrices}
    both = (*pipeline.transformer.parameters(), *pipeline.text_encoder.parameters())
    rest = [parameter for parameter in both if id(parameter) not in those]
    return [
        torch.optim.Muon(matrices, _MATRIX_RATE, weight_decay=0.01),
        # The second moment averages over fewer steps than usual, as is common for transformers,
        # because gradients are noisy.
        torch.optim.AdamW(rest, _RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True),
    ]


def flow_loss(pipeline: Any, latents: Tensor, shown: list[Scene], rng: random.Random) -> Tensor:
    """Mochi's flow-matching loss: a straight line from noise at time 0 to the clip at time 1."""
    prompts = [
        "" if rng.random() < _PROMPT_DROPOUT else training_prompt(scene, rng) for scene in shown
    ]
    noise = torch.randn_like(latents)
    # The prompt takes effect early, where Mochi's schedule has most of its steps.
    time = torch.sigmoid(torch.randn(len(shown)) * 1.5 - 1.0)
    at = time.view(-1, 1, 1, 1, 1)
    with autocast():
        text, mask = _encode(pipeline, prompts)
        predicted = pipeline.transformer(
            hidden_states=(1 - at) * noise + at * latents,
            encoder_hidden_states=text,
            timestep=time * 1000,
            encoder_attention_mask=mask,
            return_dict=False,
        )[0]
    return mse_loss(predicted.float(), latents - noise)


def _encode(pipeline: Any, prompts: list[str]) -> tuple[Tensor, Tensor]:
    tokens = pipeline.tokenizer(
        prompts, padding="max_length", max_length=_TEXT_TOKENS, truncation=True, return_tensors="pt"
    )
    empty = torch.tensor([not prompt for prompt in prompts])[:, None]
    # As the engine does, and Mochi did in its training: an empty prompt has no valid token.
    ids = tokens.input_ids.masked_fill(empty, 0)
    mask = tokens.attention_mask.bool() & ~empty
    longest = max(1, int(mask.sum(1).max()))
    ids, mask = ids[:, :longest], mask[:, :longest]
    return pipeline.text_encoder(ids, attention_mask=mask)[0], mask


def _rate(step: int, steps: int) -> float:
    warm_up = min(_WARM_UP, math.ceil(_WARM_UP_SHARE * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    end = _COSINE * steps
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (end - warm_up)))


def _share_embeddings(pipeline: Any) -> None:
    """Copy embeddings to the capitalized tokens, which are not in the training prompts."""
    table = pipeline.text_encoder.get_input_embeddings().weight
    with torch.no_grad():
        for capitalized, lowercase in lowercase_tokens(pipeline.tokenizer).items():
            table[capitalized] = table[lowercase]


def _heads(attn: Any, projected: Tensor) -> Tensor:
    heads: Tensor = projected.unflatten(2, (attn.heads, -1))  # type: ignore[no-untyped-call]  # torch's types lack it
    return heads


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
